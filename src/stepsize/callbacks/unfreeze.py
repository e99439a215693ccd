"""Gradual unfreezing: frozen parameter groups join the optimizer while it runs."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl

from stepsize.callbacks.group_table import show_groups
from stepsize.optim.configure import PlanReader
from stepsize.optim.durations import REST, Stretch, is_duration
from stepsize.optim.joining import join_group
from stepsize.optim.plan import Plan
from stepsize.resume import Resume

log = logging.getLogger(__name__)


class Unfreeze(PlanReader, pl.Callback):
    """Adds groups that a rule has frozen (``freeze: true``) to the running optimizer.

    Howard and Ruder (2018), Universal Language Model Fine-tuning for Text Classification, section
    3.3. A checkpoint notes the groups that have joined, and a run that goes on from it adds them
    before the optimizer's state is loaded.

    A group joins when the step before is over. In a Trainer of your own this stands behind
    ``Resume``, which compares what was built, and before other callbacks.

    Args:
        groups: by the frozen group's name, when it joins: a share of the run (``50%``) or a number
            of optimizer steps. Or a mapping with ``at``, and ``lr`` (absolute) or ``lr_scale``
            (relative to optimizer.lr): the rate that the schedule multiplies.

    Raises:
        ValueError: a value that is not one of these.
    """

    def __init__(self, groups: Mapping[str, Any]) -> None:
        if not isinstance(groups, Mapping) or not groups:
            raise ValueError(f"callbacks.unfreeze.groups={groups}: give {{NAME: 50%}}")
        self.moments = {name: _Moment.from_config(name, value) for name, value in groups.items()}
        self._steps: dict[str, int] = {}
        self._joined: list[str] = []

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Settle all that can be wrong, and add what had joined before the checkpoint.

        Lightning calls this between configure_optimizers and the loading of the optimizer's state.
        """
        if self.plan is None:
            raise ValueError(
                f"callbacks.unfreeze: {type(pl_module).__name__}.configure_optimizers must return "
                "that of stepsize.optim, which knows what is frozen"
            )
        if trainer.world_size > 1:
            raise ValueError(
                f"callbacks.unfreeze: on {trainer.world_size} devices the gradients of what joins "
                "later would not be averaged; use trainer.devices=1"
            )
        total = trainer.estimated_stepping_batches
        for name, moment in self.moments.items():
            self._steps[name] = moment.step(name, total)
            try:
                self.plan.build_frozen(name, moment.options)
            except ValueError as error:
                raise ValueError(f"callbacks.unfreeze: {error}") from None
        lost = [name for name in self._joined if name not in self.moments]
        if lost:
            raise ValueError(
                f"callbacks.unfreeze.groups: {', '.join(lost)} had joined in the checkpoint and "
                f"must stand here too; here are {', '.join(self.moments)}"
            )
        if self._joined and self._overrides_rates(trainer):
            raise ValueError(
                f"resume=override_lr: the checkpoint's rate of {', '.join(self._joined)}, which "
                "had joined, cannot be replaced; use resume=full or resume=weights"
            )
        for name in self._joined:
            self._join(trainer, self.plan, name)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        if len(self._joined) == len(self.moments):
            return
        for name, step in self._steps.items():
            if name not in self._joined and trainer.global_step >= step:
                assert self.plan is not None
                self._join(trainer, self.plan, name)
                self._joined.append(name)
                log.info("step %d: %s is trained from here on", trainer.global_step, name)
                show_groups(trainer, self.plan)

    def _join(self, trainer: pl.Trainer, plan: Plan, name: str) -> None:
        (optimizer,) = trainer.optimizers
        schedulers = [config.scheduler for config in trainer.lr_scheduler_configs]
        join_group(plan, optimizer, schedulers, name, self.moments[name].options)

    @staticmethod
    def _overrides_rates(trainer: pl.Trainer) -> bool:
        callbacks = trainer.callbacks  # type: ignore[attr-defined]
        return any(isinstance(c, Resume) and c.mode == "override_lr" for c in callbacks)

    def state_dict(self) -> dict[str, Any]:
        return {"joined": list(self._joined)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._joined = list(state_dict["joined"])


class _Moment:
    """When a group joins, and at what rate."""

    def __init__(self, at: str | int, options: dict[str, float]) -> None:
        self.at = at
        self.options = options

    @classmethod
    def from_config(cls, name: str, config: Any) -> _Moment:
        where = f"callbacks.unfreeze.groups.{name}"
        keys = dict(config) if isinstance(config, Mapping) else {"at": config}
        options = {key: value for key, value in keys.items() if key != "at" and value is not None}
        unknown = [key for key in options if key not in ("lr", "lr_scale")]
        if "at" not in keys or unknown or len(options) > 1:
            raise ValueError(f"{where}={config}: give at, and lr or lr_scale if it is not 1")
        for key, value in options.items():
            if type(value) not in (int, float) or not (math.isfinite(value) and value > 0):
                raise ValueError(f"{where}.{key}={value}: give a number above 0")
        at = keys["at"]
        try:
            share = is_duration(at) and at != REST
        except ValueError:
            share = False
        if share and float(at[:-1]) < 100:
            return cls(at, options)
        if type(at) is int and at >= 1:
            return cls(at, options)
        raise ValueError(
            f"{where}={at}: give a share of the run above 0% and below 100%, or a step from 1 up"
        )

    def step(self, name: str, total: float) -> int:
        """The optimizer step from which on the group is trained."""
        if isinstance(self.at, int):
            step = self.at
        elif math.isinf(total):
            raise ValueError(
                f"callbacks.unfreeze.groups.{name}={self.at}: a share needs to know the run's "
                "length; set trainer.max_steps"
            )
        else:
            step = math.ceil(Stretch.whole(int(total)).position(self.at))
        if step > total:
            log.warning(
                "callbacks.unfreeze: %s stays frozen, step %d never comes in a run of %d",
                name, step, int(total),
            )  # fmt: skip
        return step
