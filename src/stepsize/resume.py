"""Going on from a checkpoint: what is taken from it, and what must be the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pickle import UnpicklingError
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch

from stepsize import between_steps

MODES = ("full", "weights", "override_lr")
# What decides the updates, of the Trainer's arguments.
_TRAINER_KEYS = (
    "precision", "accumulate_grad_batches", "gradient_clip_val", "gradient_clip_algorithm",
    "limit_train_batches", "overfit_batches",
)  # fmt: skip
# And, where a schedule watches a logged value, when there is a new one.
_RHYTHM_KEYS = ("log_every_n_steps", "val_check_interval", "check_val_every_n_epoch")
# What schedules keep in a parameter group, the learning rate first, and what some cycle with it.
_RATES = ("lr", "initial_lr", "max_lr", "min_lr")
_CYCLED = ("momentum", "betas", "base_momentum", "max_momentum")


class _Difference(NamedTuple):
    theirs: str
    ours: str
    is_rate: bool = False


class Resume(pl.Callback):
    """Continues a run as ``resume`` says, and refuses in one line what would be a silent change.

    - ``full``: everything as it was; the run goes on as if it had never stopped. The model's
      config and shapes, the data (batch size, order and all), the seed, the optimizer's class,
      groups and options, the schedule, clipping, accumulation and precision must agree. Where a
      schedule watches a logged value, so must what decides when there is a new one. What may
      differ: ``trainer.max_steps``, as long as the schedule has no share of it; devices, logging,
      callbacks, names.
    - ``override_lr``: the same, but for the learning rates and the schedule, which are the new
      config's. The schedule starts at the checkpoint; shares are of the steps that are left.
    - ``weights``: the weights alone, of a Lightning checkpoint or a plain ``state_dict`` of the
      module or of its ``net``; a new run at step 0, with any optimizer and data.

    Every run has this callback: what it built travels in its checkpoints, to be compared with.

    Args:
        config: the whole configuration as plain containers.

    Attributes:
        start: the step at which the schedule begins; above 0 only after ``override_lr``.
        ckpt_path: what ``Trainer.fit`` is to load; None where it is to load nothing.

    Raises:
        ValueError: the file is not a checkpoint, or not one that can be resumed in this mode.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.mode = config["resume"]
        self.path = config["ckpt_path"]
        self.ckpt_path = None if self.mode == "weights" else self.path
        self.start = 0
        self._settings = _settings(config)
        self._built: dict[str, Any] = {}
        self._checkpoint = {} if self.path is None else _read(self.path)
        self._theirs: dict[str, Any] = {}
        self._between_steps: dict[str, Any] | None = None
        if self.ckpt_path is not None:
            self._check_resumable(config["trainer"].get("max_steps", -1))

    def prepare(self, module: pl.LightningModule) -> None:
        """Compare what is known before the optimizer is built; load the weights if only they count.

        Raises:
            ValueError: shows both sides.
        """
        if self.path is None:
            return
        weights = self._checkpoint.get("state_dict", self._checkpoint)
        if self.mode == "weights":
            target = module if "state_dict" in self._checkpoint else _owner(module, weights)
            self._refuse(_shapes(weights, target.state_dict()), "give the model that it holds")
            target.load_state_dict(weights)
        else:
            self._refuse(
                _settings_differences(self._theirs["settings"], self._settings),
                "use the checkpoint's settings, or resume=weights for a new run from its weights",
            )
            self._refuse(_shapes(weights, module.state_dict()), "give the model that it holds")
        self._checkpoint = {}

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self._checkpoint = checkpoint  # the one from which Lightning restores what is left
        self._between_steps = checkpoint.get(between_steps.KEY)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Compare the new optimizer with the old one, before Lightning loads the old one's state.

        Raises:
            ValueError: shows both sides.
        """
        self._built = _describe(trainer, pl_module)
        if self.ckpt_path is None:
            return
        found = list(_built_differences(self._theirs["built"], self._built))
        if self.mode == "override_lr":
            found = [difference for difference in found if not difference.is_rate]
        self._refuse(
            found,
            "use resume=override_lr for new rates and a new schedule, or resume=weights for a new "
            "run from its weights"
            if all(difference.is_rate for difference in found)
            else "use the checkpoint's settings, or resume=weights for a new run from its weights",
        )
        if self.mode == "override_lr":
            self._override(trainer)
        self._checkpoint = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._between_steps is not None:
            between_steps.go_on(trainer, pl_module, self._between_steps)
            self._between_steps = None

    def state_dict(self) -> dict[str, Any]:
        return {"settings": self._settings, "built": self._built, "start": self.start}

    def _check_resumable(self, max_steps: int) -> None:
        callbacks = self._checkpoint.get("callbacks")
        found = callbacks.get(self.state_key) if isinstance(callbacks, Mapping) else None
        if found is None:
            raise ValueError(
                f"ckpt_path={self.path}: it does not say how it was trained, as those of this "
                "program do; take its weights with resume=weights"
            )
        taken = int(self._checkpoint["global_step"])
        if -1 < max_steps < taken:
            raise ValueError(
                f"ckpt_path={self.path}: it has {taken} steps, trainer.max_steps={max_steps} asks "
                "for fewer; give more, or resume=weights for a new run from its weights"
            )
        self._theirs = found
        self.start = taken if self.mode == "override_lr" else int(found["start"])

    def _refuse(self, found: list[_Difference], hint: str) -> None:
        if found:
            shown, more = found[:4], len(found) - 4
            theirs = ", ".join(difference.theirs for difference in shown)
            ours = ", ".join(difference.ours for difference in shown)
            rest = f" (and {more} more)" if more > 0 else ""
            raise ValueError(
                f"resume={self.mode}: the checkpoint was trained with {theirs}, this run asks for "
                f"{ours}{rest}; {hint}"
            )

    def _override(self, trainer: pl.Trainer) -> None:
        """Keep the rates and the schedule that this run has built out of the old one's reach."""
        self._checkpoint["lr_schedulers"] = []
        states = self._checkpoint["optimizer_states"]
        for state, optimizer in zip(states, trainer.optimizers, strict=True):
            new = {group.get("name"): group for group in optimizer.param_groups}
            for group in state["param_groups"]:
                fresh = new.get(group.get("name"), {})
                for key in (*_RATES, *_CYCLED) if fresh else ():
                    group.pop(key, None)
                    if key in fresh:
                        group[key] = fresh[key]


def _read(path: str) -> dict[str, Any]:
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(
            f"ckpt_path={path}: not a checkpoint that torch.load(weights_only=True) reads: {reason}"
        ) from error
    weights = checkpoint.get("state_dict", checkpoint) if isinstance(checkpoint, Mapping) else {}
    if not weights or not all(isinstance(value, torch.Tensor) for value in weights.values()):
        raise ValueError(f"ckpt_path={path}: neither a checkpoint nor a state_dict")
    return dict(checkpoint)


def _owner(module: pl.LightningModule, weights: Mapping[str, Any]) -> torch.nn.Module:
    """The module, or its ``net`` where a plain ``state_dict`` is of that."""
    net = getattr(module, "net", None)
    ours = isinstance(net, torch.nn.Module) and weights.keys() <= net.state_dict().keys()
    return net if ours and isinstance(net, torch.nn.Module) else module


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    trainer = config["trainer"]
    watching = [*_RHYTHM_KEYS] if (config["scheduler"] or {}).get("monitor") else []
    kept = {
        "seed": config["seed"],
        "data": config["data"],
        "model": config["model"],
        "trainer": {key: trainer.get(key) for key in (*_TRAINER_KEYS, *watching)},
    }
    return dict(_flat(_plain(kept)))


def _settings_differences(theirs: dict[str, Any], ours: dict[str, Any]) -> list[_Difference]:
    keys = [key for key in {**theirs, **ours} if theirs.get(key) != ours.get(key)]
    return [_Difference(f"{key} {theirs.get(key)}", f"{key} {ours.get(key)}") for key in keys]


def _shapes(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> list[_Difference]:
    def shown(weights: Mapping[str, Any], name: str) -> str:
        return f"{name} {list(weights[name].shape)}" if name in weights else f"no {name}"

    names = dict.fromkeys((*theirs, *ours))
    pairs = [(shown(theirs, name), shown(ours, name)) for name in names]
    return [_Difference(old, new) for old, new in pairs if old != new]


def _describe(trainer: pl.Trainer, module: pl.LightningModule) -> dict[str, Any]:
    """The optimizers and schedules as they are before the first step, in plain containers."""
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    groups: dict[str, Any] = {}
    for optimizer in trainer.optimizers:
        for index, group in enumerate(optimizer.param_groups):
            options = {key: value for key, value in group.items() if key not in ("params", "name")}
            # The rate that was asked for: a schedule has already changed lr for the first step.
            asked = [group[key] for key in ("max_lr", "initial_lr", "lr") if key in group]
            if asked:
                options["lr"] = asked[0]
            groups[str(group.get("name", index))] = {
                "parameters": [names[id(parameter)] for parameter in group["params"]],
                "options": _plain(options),
            }
    return {
        "optimizer": " and ".join(_class_names(trainer.optimizers)),
        "groups": groups,
        "schedule": [
            {
                "class": type(entry.scheduler).__name__,
                "options": dict(
                    _flat(
                        _plain(
                            {
                                "interval": entry.interval,
                                "frequency": entry.frequency,
                                "monitor": entry.monitor if entry.reduce_on_plateau else None,
                                **entry.scheduler.state_dict(),
                            }
                        )
                    )
                ),
            }
            for entry in trainer.lr_scheduler_configs
        ],
    }


def _built_differences(theirs: dict[str, Any], ours: dict[str, Any]) -> Iterator[_Difference]:
    old, new = theirs["optimizer"], ours["optimizer"]
    if old != new:
        yield _Difference(old, new)
        return
    groups = theirs["groups"], ours["groups"]
    parameters = [{name: g["parameters"] for name, g in side.items()} for side in groups]
    if parameters[0] != parameters[1]:
        yield _Difference(*_membership(*parameters))
        return
    rates_differ = False
    for name in groups[1]:
        options = [side[name]["options"] for side in groups]
        cycled = _CYCLED if "base_momentum" in {**options[0], **options[1]} else ()
        for key in {**options[0], **options[1]}:
            before, now = (side.get(key) for side in options)
            # A schedule's own entry in the group: the schedules differ, which is said below.
            entry = key in (*_RATES, *_CYCLED) and not all(key in side for side in options)
            if repr(before) == repr(now) or entry or (rates_differ and key in _RATES):
                continue
            is_rate = key in (*_RATES, *cycled)
            rates_differ |= key in _RATES
            yield _Difference(
                f"{old} {key} {before} in group {name}", f"{key} {now} in group {name}", is_rate
            )
    yield from _schedule_differences(theirs["schedule"], ours["schedule"], rates_differ)


def _schedule_differences(
    theirs: list[dict[str, Any]], ours: list[dict[str, Any]], rates_differ: bool
) -> Iterator[_Difference]:
    names = [
        ", ".join(entry["class"] for entry in side) or "no schedule" for side in (theirs, ours)
    ]
    if names[0] != names[1]:
        yield _Difference(names[0], names[1], True)
        return
    for old, new in zip(theirs, ours, strict=True):
        for key in {**old["options"], **new["options"]}:
            before, now = old["options"].get(key), new["options"].get(key)
            follows = rates_differ and "lr" in key  # base_lrs and their like
            if repr(before) != repr(now) and not follows:
                yield _Difference(
                    f"{old['class']} {key} {before}", f"{new['class']} {key} {now}", True
                )


def _membership(theirs: dict[str, list[str]], ours: dict[str, list[str]]) -> tuple[str, str]:
    """Both sides' groups, with the first parameter that changed its place where names agree."""
    if list(theirs) != list(ours):
        return f"the groups {', '.join(theirs)}", f"the groups {', '.join(ours)}"
    homes = [{p: group for group, ps in side.items() for p in ps} for side in (theirs, ours)]
    moved = [p for p in {**homes[0], **homes[1]} if homes[0].get(p) != homes[1].get(p)]
    if not moved:
        return "another order of the parameters", "this one"
    old, new = (f"in group {home[moved[0]]}" if moved[0] in home else "frozen" for home in homes)
    return f"{moved[0]} {old}", f"it {new}"


def _class_names(optimizers: Any) -> list[str]:
    return [
        name
        for optimizer in optimizers
        for name in (
            _class_names(optimizer.optimizers)
            if hasattr(optimizer, "optimizers")
            else [type(optimizer).__name__]
        )
    ]


def _plain(value: Any) -> Any:
    """Containers, numbers and words as they are; of anything else its class."""
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if isinstance(value, torch.Tensor):
        return value.tolist()
    return value if isinstance(value, (bool, int, float, str, type(None))) else type(value).__name__


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """``{"data": {"seed": 0}}`` -> ``("data.seed", 0)``; lists that hold mappings too."""
    nested = isinstance(value, list) and any(isinstance(entry, (dict, list)) for entry in value)
    if isinstance(value, dict) or nested:
        for key, entry in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _flat(entry, f"{path}.{key}" if path else str(key))
    else:
        yield path, value
