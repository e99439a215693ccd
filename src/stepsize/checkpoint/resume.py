"""Resuming from a checkpoint: what is loaded, and what must agree with the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from pickle import UnpicklingError
from typing import Any

import pytorch_lightning as pl
import torch

from stepsize.callbacks.lightning_overhead import LeanCallback
from stepsize.checkpoint import trainer_state
from stepsize.checkpoint.compatibility import (
    CYCLED,
    LEARNING_RATES,
    Difference,
    built_differences,
    describe,
    settings_differences,
    settings_of,
    shape_differences,
)


class Resume(LeanCallback):
    """Resumes a run as ``resume`` says, and refuses in one line what would change it silently.

    - ``full``: everything is loaded, as if the run had never stopped. The model's configuration and
      shapes, the data (batch size and order included), the seed, the optimizer's class, groups and
      options, the schedule, clipping, accumulation and precision must agree. If a schedule
      monitors a logged value, the intervals of logging and validation must agree too. May differ:
      ``trainer.max_steps``, unless the schedule has a share of it; devices, logging, callbacks and
      names.
    - ``override_lr``: the same, except that the learning rates and the schedule come from the new
      configuration. The schedule starts at the checkpoint; shares are of the remaining steps.
    - ``weights``: only the weights are loaded, from a Lightning checkpoint or from a plain
      ``state_dict`` of the module or of its ``net``; a new run at step 0, with any optimizer and
      data.

    Every run has this callback: its checkpoints carry the settings and the optimizer that a resumed
    run is compared with.

    Args:
        config: the whole configuration as plain containers.

    Attributes:
        start: the step at which the schedule begins; above 0 only after ``override_lr``.
        ckpt_path: the checkpoint that ``Trainer.fit`` loads; None where it loads none.

    Raises:
        ValueError: the file is not a checkpoint, or not one that can be resumed in this mode.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.mode = config["resume"]
        self.path = config["ckpt_path"]
        self.ckpt_path = None if self.mode == "weights" else self.path
        self.start = 0
        self._settings = settings_of(config)
        self._built: dict[str, Any] = {}
        self._checkpoint = {} if self.path is None else _read(self.path)
        self._theirs: dict[str, Any] = {}
        self._between_steps: dict[str, Any] | None = None
        self._states: list[dict[str, Any]] = []
        if self.ckpt_path is not None:
            self._check_resumable(config["trainer"].get("max_steps", -1))

    def prepare(self, module: pl.LightningModule) -> None:
        """Compare settings and shapes; with ``resume=weights``, load the weights.

        Called before the optimizer is built.

        Raises:
            ValueError: checkpoint and configuration disagree; the message names both values.
        """
        if self.path is None:
            return
        weights = self._checkpoint.get("state_dict", self._checkpoint)
        if self.mode == "weights":
            target = module if "state_dict" in self._checkpoint else _owner(module, weights)
            self._refuse(
                shape_differences(weights, target.state_dict()), "give the model that it holds"
            )
            target.load_state_dict(weights)
        else:
            self._refuse(
                settings_differences(self._theirs["settings"], self._settings),
                "use the checkpoint's settings, or resume=weights for a new run from its weights",
            )
            self._refuse(
                shape_differences(weights, module.state_dict()), "give the model that it holds"
            )
        self._checkpoint = {}

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self._checkpoint = checkpoint  # Lightning restores the rest from this dictionary
        self._between_steps = checkpoint.get(trainer_state.KEY)
        self._states = checkpoint["optimizer_states"]

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Compare the new optimizer with the checkpoint's, before Lightning loads its state.

        Raises:
            ValueError: checkpoint and configuration disagree; the message names both values.
        """
        self._built = describe(trainer, pl_module)
        if self.ckpt_path is None:
            return
        found = list(built_differences(self._theirs["built"], self._built))
        if self.mode == "override_lr":
            found = [difference for difference in found if not difference.is_lr]
        self._refuse(
            found,
            "use resume=override_lr for new learning rates and a new schedule, or resume=weights "
            "for a new run from its weights"
            if all(difference.is_lr for difference in found)
            else "use the checkpoint's settings, or resume=weights for a new run from its weights",
        )
        if self.mode == "override_lr":
            self._override(trainer)
        self._checkpoint = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for optimizer, saved in zip(trainer.optimizers, self._states, strict=False):
            _keep_precision(optimizer.state_dict()["state"], saved["state"])
        self._states = []
        if self._between_steps is not None:
            trainer_state.restore(trainer, pl_module, self._between_steps)
            self._between_steps = None

    def state_dict(self) -> dict[str, Any]:
        return {"settings": self._settings, "built": self._built, "start": self.start}

    def _check_resumable(self, max_steps: int) -> None:
        callbacks = self._checkpoint.get("callbacks")
        found = callbacks.get(self.state_key) if isinstance(callbacks, Mapping) else None
        if found is None:
            raise ValueError(
                f"ckpt_path={self.path}: it does not say how it was trained, as checkpoints of "
                "stepsize do; load its weights with resume=weights"
            )
        taken = int(self._checkpoint["global_step"])
        if -1 < max_steps < taken:
            raise ValueError(
                f"ckpt_path={self.path}: it has {taken} steps, and trainer.max_steps={max_steps} "
                "is fewer; give more, or resume=weights for a new run from its weights"
            )
        self._theirs = found
        self.start = taken if self.mode == "override_lr" else int(found["start"])

    def _refuse(self, found: list[Difference], hint: str) -> None:
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
        """Keep the learning rates and the schedule that this run has built."""
        self._checkpoint["lr_schedulers"] = []
        states = self._checkpoint["optimizer_states"]
        for state, optimizer in zip(states, trainer.optimizers, strict=True):
            new = {group.get("name"): group for group in optimizer.param_groups}
            for group in state["param_groups"]:
                fresh = new.get(group.get("name"), {})
                for key in (*LEARNING_RATES, *CYCLED) if fresh else ():
                    group.pop(key, None)
                    if key in fresh:
                        group[key] = fresh[key]


def _keep_precision(state: Mapping[Any, Any], saved: Mapping[Any, Any]) -> None:
    """Restore the precision of an optimizer's state; torch loads it in the parameter's.

    NAdam's product of momenta is float32, whatever the weights are.
    """
    for key, values in state.items():
        for name, value in values.items():
            old = saved[key].get(name)
            if isinstance(old, torch.Tensor) and old.dtype != value.dtype:
                values[name] = value.to(old.dtype)


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
    """The module, or its ``net`` where a plain ``state_dict`` holds the weights of ``net``."""
    net = getattr(module, "net", None)
    ours = isinstance(net, torch.nn.Module) and weights.keys() <= net.state_dict().keys()
    return net if ours and isinstance(net, torch.nn.Module) else module
