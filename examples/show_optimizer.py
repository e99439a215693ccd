"""Prints what the optimizer of a run holds, before training and after the last step.

    python train.py --config-dir examples/conf callbacks=show_optimizer allowed_packages=[examples]

``defaults`` are the options of a group that sets none of its own, ``param_groups`` the parameters
and the options in force, ``state`` the optimizer's memory of each parameter. docs/tour.md explains
the output.
"""

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
from torch import Tensor


class ShowOptimizer(pl.Callback):
    """Prints ``defaults``, ``param_groups`` and ``state``; a tensor as its shape and norm."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.show("before training", trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.show(f"after step {trainer.global_step}", trainer, pl_module)

    def show(self, when: str, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        (optimizer,) = trainer.optimizers
        names = {parameter: name for name, parameter in module.named_parameters()}
        print(f"\n{type(optimizer).__name__} {when}")
        print(f"  defaults: {text(optimizer.defaults)}")
        for index, group in enumerate(optimizer.param_groups):
            print(f"  param_groups[{index}]: {text(group)}")
            for parameter in group["params"]:
                state = optimizer.state.get(parameter, {})
                print(f"    {names[parameter]} {list(parameter.shape)}, state: {text(state)}")


def text(values: Mapping[str, Any]) -> str:
    """The entries in one line, without parameters and without options that are off."""
    off = ("params", "param_names")
    shown = {k: v for k, v in values.items() if k not in off and v is not None and v is not False}
    return ", ".join(f"{key} {short(value)}" for key, value in shown.items()) or "empty"


def short(value: Any) -> str:
    """A value as text: the norm of a tensor, the number of tensors in a list."""
    if isinstance(value, Tensor):
        return f"{value.item():g}" if value.ndim == 0 else f"[norm {value.norm():.3g}]"
    if isinstance(value, list) and any(isinstance(entry, Tensor) for entry in value):
        return f"[{sum(entry is not None for entry in value)} tensors]"
    return f"{value:g}" if isinstance(value, float) else str(value)
