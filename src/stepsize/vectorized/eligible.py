"""Which runs can be trained together exactly, and why the others cannot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn, optim

from stepsize.callbacks import Divergence, LastCheckpoint, Norms, Progress
from stepsize.callbacks.picture import Picture
from stepsize.data import InMemoryData
from stepsize.instantiate import locate
from stepsize.modules import Module
from stepsize.optim import sparse_parameter_names
from stepsize.optim.scheduler_checks import is_kind
from stepsize.pictures.trajectory import Trajectory
from stepsize.profiler import NoProfiler
from stepsize.tensorboard import RowLogger

# Element by element: what one number of the weights does is all that its own gradient decides, so
# that runs can lie side by side in one tensor.
ELEMENTWISE = (
    optim.SGD, optim.ASGD, optim.Adagrad, optim.Adadelta, optim.Adam, optim.AdamW, optim.Adamax,
    optim.NAdam, optim.RAdam, optim.RMSprop, optim.Rprop,
)  # fmt: skip
# They look at a whole matrix, and step each run's own tensors; others are tried out first.
KNOWN = (*ELEMENTWISE, optim.Muon, optim.Adafactor)

# Callbacks that watch, save or draw, and leave the updates alone.
_WATCHING = (Divergence, LastCheckpoint, Norms, Picture, Progress)
_TRAINER_KEYS = {
    "_target_", "accelerator", "devices", "precision", "max_steps", "max_epochs",
    "log_every_n_steps", "val_check_interval", "check_val_every_n_epoch", "gradient_clip_val",
    "gradient_clip_algorithm", "accumulate_grad_batches", "deterministic", "num_sanity_val_steps",
    "enable_model_summary", "profiler",
}  # fmt: skip
PRECISIONS = {"32-true": torch.float32, "64-true": torch.float64}
# What a subclass may define and still be evaluated as Module evaluates it.
_OWN_OF_A_MODULE = {"step", "metrics", "optimum", "forward", "__init__", "example_input_array"}
_OWN_OF_DATA = {"make", "batches", "fingerprint", "__init__"}
_RUNNING = (nn.modules.batchnorm._NormBase, nn.modules.dropout._DropoutNd)


def reason_against(config: Mapping[str, Any]) -> str | None:
    """Why a run must be trained by itself, as far as its configuration tells; None if it need not.

    Args:
        config: the whole configuration as plain containers, with values that are allowed.

    Raises:
        ValueError: a class that does not exist or may not be reached.
    """
    return next(_reasons(config), None)


def _reasons(config: Mapping[str, Any]) -> Iterator[str]:
    trainer = config["trainer"]
    if config["ckpt_path"] is not None:
        yield "it goes on from a checkpoint"
    if trainer["_target_"] != "pytorch_lightning.Trainer":
        yield f"trainer._target_={trainer['_target_']} is not Lightning's"
    for key in trainer:
        if key not in _TRAINER_KEYS:
            yield f"trainer.{key} is not one of the options that runs can share"
    expected: dict[str, tuple[Any, ...]] = {
        "accelerator": ("auto", "cpu", "gpu", "cuda"),
        "devices": (1, "auto"),
        "precision": tuple(PRECISIONS),
        "accumulate_grad_batches": (1,),
        "check_val_every_n_epoch": (None,),
        "num_sanity_val_steps": (0,),
        "gradient_clip_algorithm": (None, "norm", "value"),
        "deterministic": (False, None),
    }
    for key, values in expected.items():
        if trainer.get(key, values[0]) not in values:
            yield f"trainer.{key}={trainer[key]}"
    profiler = trainer.get("profiler")
    if profiler and profiler != {"_target_": f"{NoProfiler.__module__}.{NoProfiler.__name__}"}:
        yield "trainer.profiler measures one run"
    if type(trainer.get("val_check_interval", 1.0)) is not int:
        yield f"trainer.val_check_interval={trainer.get('val_check_interval')} is not in steps"
    for name, callback in (config["callbacks"] or {}).items():
        kind = locate(callback["_target_"]) if callback else Progress
        if not is_kind(kind, _WATCHING):
            yield f"callbacks.{name} takes part in the training"
        if is_kind(kind, Picture) and config["pictures"] and _looks_at_steps(kind):
            yield f"callbacks.{name} looks at every step; pictures=false leaves it out"
    for name, logger in (config["logger"] or {}).items():
        if logger and locate(logger["_target_"]) is not RowLogger:
            yield f"logger.{name} is not stepsize.tensorboard.RowLogger"


def reason_against_parts(module: Any, data: Any) -> str | None:
    """Why what was built must be trained by itself; None if it need not.

    Args:
        module: the run's LightningModule.
        data: its data module.
    """
    if not isinstance(module, Module):
        return f"{type(module).__name__} is not a stepsize.modules.Module"
    for name in _overridden(type(module), Module, pl.LightningModule, _OWN_OF_A_MODULE):
        return f"{type(module).__name__} has a {name} of its own"
    if not isinstance(data, InMemoryData):
        return f"{type(data).__name__} is not a stepsize.data.InMemoryData"
    for name in _overridden(type(data), InMemoryData, pl.LightningDataModule, _OWN_OF_DATA):
        return f"{type(data).__name__} has a {name} of its own"
    if sparse_parameter_names(module):
        return "its gradients are sparse"
    for name, part in module.named_modules():
        if isinstance(part, _RUNNING):
            return f"{name} ({type(part).__name__}) changes with every evaluation"
    return None


def _looks_at_steps(kind: Any) -> bool:
    """Whether a callback has a hook of its own that is called in every step."""
    return kind is not Trajectory and (
        kind.on_train_batch_start is not None or kind.on_train_batch_end is not None
    )


def _overridden(kind: type, shared: type, lightnings: type, own: set[str]) -> Iterator[str]:
    """What the classes between ``kind`` and ``shared`` define anew."""
    for base in kind.__mro__[: kind.__mro__.index(shared)]:
        for name, value in vars(base).items():
            code = callable(value) or isinstance(value, (property, classmethod, staticmethod))
            known = hasattr(shared, name) or hasattr(lightnings, name)
            if (
                code
                and known
                and name not in own
                and not (name.startswith("__") and name.endswith("__"))
            ):
                yield name
