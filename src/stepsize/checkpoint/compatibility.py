"""What a run and the checkpoint that it resumes from must have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch

from stepsize.optim.plan import class_names

# The Trainer's arguments that decide the updates.
_TRAINER_KEYS = (
    "precision", "accumulate_grad_batches", "gradient_clip_val", "gradient_clip_algorithm",
    "limit_train_batches", "overfit_batches",
)  # fmt: skip
# Those that decide when a schedule that monitors a logged value reads a new one.
_INTERVAL_KEYS = ("log_every_n_steps", "val_check_interval", "check_val_every_n_epoch")
# Learning rates that schedules keep in a parameter group, and options that some cycle with them.
LEARNING_RATES = ("lr", "initial_lr", "max_lr", "min_lr")
CYCLED = ("momentum", "betas", "base_momentum", "max_momentum")


class Difference(NamedTuple):
    """A value that differs between a checkpoint and a run.

    Attributes:
        theirs: the checkpoint's, as text.
        ours: this run's, as text.
        is_lr: whether it is a learning rate, or decided by a schedule.
    """

    theirs: str
    ours: str
    is_lr: bool = False


def settings_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """All that decides the updates except optimizer and schedule, by dotted path.

    Args:
        config: the whole configuration as plain containers.
    """
    trainer = config["trainer"]
    watching = [*_INTERVAL_KEYS] if (config["scheduler"] or {}).get("monitor") else []
    kept = {
        "seed": config["seed"],
        "data": config["data"],
        "model": config["model"],
        "trainer": {key: trainer.get(key) for key in (*_TRAINER_KEYS, *watching)},
    }
    return dict(_flat(_plain(kept)))


def settings_differences(theirs: dict[str, Any], ours: dict[str, Any]) -> list[Difference]:
    """The differences between two results of :func:`settings_of`."""
    found = []
    for key in {**theirs, **ours}:
        # Only one of the schedules monitors a value: built_differences reports the schedules.
        one_sided = key.endswith(_INTERVAL_KEYS) and not (key in theirs and key in ours)
        old, new = theirs.get(key), ours.get(key)
        if old != new and not one_sided:
            found.append(Difference(f"{key} {old}", f"{key} {new}"))
    return found


def shape_differences(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> list[Difference]:
    """The differences between two ``state_dict`` in names and in shapes."""

    def shown(weights: Mapping[str, Any], name: str) -> str:
        return f"{name} {list(weights[name].shape)}" if name in weights else f"no {name}"

    names = dict.fromkeys((*theirs, *ours))
    pairs = [(shown(theirs, name), shown(ours, name)) for name in names]
    return [Difference(old, new) for old, new in pairs if old != new]


def describe(trainer: pl.Trainer, module: pl.LightningModule) -> dict[str, Any]:
    """The optimizers and schedules before the first step, as plain containers."""
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    groups: dict[str, Any] = {}
    for optimizer in trainer.optimizers:
        for index, group in enumerate(optimizer.param_groups):
            options = {key: value for key, value in group.items() if key not in ("params", "name")}
            # The configured learning rate: a schedule has already changed lr for the first step.
            configured = [group[key] for key in ("max_lr", "initial_lr", "lr") if key in group]
            if configured:
                options["lr"] = configured[0]
            groups[str(group.get("name", index))] = {
                "parameters": [names[id(parameter)] for parameter in group["params"]],
                "options": _plain(options),
            }
    return {
        "optimizer": class_names(*trainer.optimizers),
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


def built_differences(theirs: dict[str, Any], ours: dict[str, Any]) -> Iterator[Difference]:
    """The differences between two results of :func:`describe`."""
    old, new = theirs["optimizer"], ours["optimizer"]
    if old != new:
        yield Difference(old, new)
        return
    groups = theirs["groups"], ours["groups"]
    parameters = [{name: g["parameters"] for name, g in side.items()} for side in groups]
    if parameters[0] != parameters[1]:
        yield Difference(*_membership(*parameters))
        return
    lrs_differ = False
    for name in groups[1]:
        options = [side[name]["options"] for side in groups]
        cycled = CYCLED if "base_momentum" in {**options[0], **options[1]} else ()
        for key in {**options[0], **options[1]}:
            before, now = (side.get(key) for side in options)
            # An entry that only one schedule adds to the group: the schedules are compared below.
            entry = key in (*LEARNING_RATES, *CYCLED) and not all(key in side for side in options)
            if repr(before) == repr(now) or entry or (lrs_differ and key in LEARNING_RATES):
                continue
            is_lr = key in (*LEARNING_RATES, *cycled)
            lrs_differ |= key in LEARNING_RATES
            yield Difference(
                f"{old} {key} {before} in group {name}", f"{key} {now} in group {name}", is_lr
            )
    yield from _schedule_differences(theirs["schedule"], ours["schedule"], lrs_differ)


def _schedule_differences(
    theirs: list[dict[str, Any]], ours: list[dict[str, Any]], lrs_differ: bool
) -> Iterator[Difference]:
    names = [
        ", ".join(entry["class"] for entry in side) or "no schedule" for side in (theirs, ours)
    ]
    if names[0] != names[1]:
        yield Difference(names[0], names[1], True)
        return
    for old, new in zip(theirs, ours, strict=True):
        for key in {**old["options"], **new["options"]}:
            before, now = old["options"].get(key), new["options"].get(key)
            follows = lrs_differ and "lr" in key  # base_lrs and their like
            if repr(before) != repr(now) and not follows:
                yield Difference(
                    f"{old['class']} {key} {before}", f"{new['class']} {key} {now}", True
                )


def _membership(theirs: dict[str, list[str]], ours: dict[str, list[str]]) -> tuple[str, str]:
    """Both sides' groups; where their names agree, the first parameter that changed its group."""
    if list(theirs) != list(ours):
        return f"the groups {', '.join(theirs)}", f"the groups {', '.join(ours)}"
    homes = [{p: group for group, ps in side.items() for p in ps} for side in (theirs, ours)]
    moved = [p for p in {**homes[0], **homes[1]} if homes[0].get(p) != homes[1].get(p)]
    if not moved:
        return "another order of the parameters", "this one"
    old, new = (f"in group {home[moved[0]]}" if moved[0] in home else "frozen" for home in homes)
    return f"{moved[0]} {old}", f"it {new}"


def _plain(value: Any) -> Any:
    """Containers, numbers and text unchanged; the class name of anything else."""
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
