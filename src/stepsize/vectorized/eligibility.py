"""Which runs can be trained together exactly, and why the others cannot."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Iterator, Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn, optim
from torch.optim import Optimizer

from stepsize.callbacks.divergence import Divergence
from stepsize.callbacks.lightning_overhead import NoProfiler
from stepsize.callbacks.norms import Norms
from stepsize.callbacks.optimizer_mode import with_modes
from stepsize.callbacks.progress import Progress
from stepsize.checkpoint.last_checkpoint import LastCheckpoint
from stepsize.config.instantiate import locate
from stepsize.data import InMemoryData
from stepsize.loggers.tensorboard import RowLogger
from stepsize.modules import Module
from stepsize.optim import sparse_parameter_names
from stepsize.optim.plan import parts_of
from stepsize.plots.callback import Plot
from stepsize.plots.trajectory import Trajectory
from stepsize.schedules.checks import is_kind
from stepsize.vectorized.batches import Batch
from stepsize.vectorized.layout import Layout
from stepsize.vectorized.objective import StackedObjective
from stepsize.vectorized.variant import MOVED, Setting

# Element by element: what one number of the weights does is all that its own gradient decides, so
# that runs can lie side by side in one tensor.
ELEMENTWISE = (
    optim.SGD, optim.ASGD, optim.Adagrad, optim.Adadelta, optim.Adam, optim.AdamW, optim.Adamax,
    optim.NAdam, optim.RAdam, optim.RMSprop, optim.Rprop,
)  # fmt: skip
# They look at a whole matrix, and step each run's own tensors; others are tried out first.
KNOWN = (*ELEMENTWISE, optim.Muon, optim.Adafactor)

# Callbacks that watch, save or draw, and leave the updates alone.
_WATCHING = (Divergence, LastCheckpoint, Norms, Plot, Progress)
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
        if is_kind(kind, Plot) and config["plots"] and _looks_at_steps(kind):
            yield f"callbacks.{name} looks at every step; plots=false leaves it out"
    for name, logger in (config["logger"] or {}).items():
        if logger and locate(logger["_target_"]) is not RowLogger:
            yield f"logger.{name} is not stepsize.loggers.tensorboard.RowLogger"


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


log = logging.getLogger(__name__)

_STEPS = 3


def reason_against_stepping(setting: Setting, module: nn.Module) -> str | None:
    """Why a setting's runs cannot be stepped from outside; None where they can.

    Args:
        setting: builds the optimizer.
        module: the model; is not changed.
    """
    kinds = [type(part) for part in parts_of(setting.optimizer)]
    if all(kind in KNOWN for kind in kinds):
        return None
    names = " with ".join(kind.__name__ for kind in kinds)
    before = torch.get_rng_state()
    try:
        reason = _difference(setting, dict(module.named_parameters()))
    except Exception:
        log.debug("a step without a closure ended with this error", exc_info=True)
        reason = "does not step by the gradients alone"
    if reason is None and not torch.equal(before, torch.get_rng_state()):
        reason = "draws random numbers"
    torch.set_rng_state(before)
    return None if reason is None else f"{names} {reason}"


def _difference(setting: Setting, parameters: Mapping[str, Tensor]) -> str | None:
    """Take a few steps with a closure and without one."""
    twins = [
        setting.named({name: p.detach().clone() for name, p in parameters.items()})
        for _ in range(2)
    ]
    (given, free) = ([parameter for _, parameter in named] for named in twins)
    told, silent = map(setting.build, twins)
    for optimizer in with_modes([told, silent]):
        optimizer.train()  # type: ignore[attr-defined]
    calls: list[bool] = []
    rates = _moved(silent)
    for step in range(_STEPS):
        before = [parameter.detach().clone() for parameter in given]
        gradients = [torch.cos(p.detach() + step) / (1 + step) for p in given]
        for parameters_ in (given, free):
            for parameter, gradient in zip(parameters_, gradients, strict=True):
                if parameter.requires_grad:
                    parameter.grad = gradient.clone()
        slots = [parameter.grad for parameter in free]

        def closure(before: list[Tensor] = before) -> float:
            calls.append(all(map(torch.equal, given, before)))
            return 1.0

        told.step(closure)
        with torch.no_grad():
            silent.step()
        if len(calls) != step + 1 or not calls[-1]:
            return "evaluates the objective elsewhere than at the weights before a step"
        if any(p.grad is not slot for p, slot in zip(free, slots, strict=True)):
            return "puts other tensors in the gradients' places"
        if not all(map(torch.equal, given, free)):
            return "steps otherwise without a closure"
        if _moved(silent) != rates:
            return "moves what schedules move, in each run another way"
    return None


def _moved(optimizer: Optimizer) -> list[list[Any]]:
    return [[group.get(key) for key in MOVED] for group in optimizer.param_groups]


_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-8}


def reason_against_stacking(
    module: Module, batch: Batch, dtype: torch.dtype, device: torch.device
) -> str | None:
    """Why a model's runs cannot be trained together; None where they can.

    Args:
        module: with its initial weights; is not changed.
        batch: the first batch of the first run.
        dtype: of weights and data.
        device: where they are.
    """
    layout = Layout.of(module)
    twin = copy.deepcopy(module).to(device, dtype)
    twin._trainer = _Absent()  # type: ignore[assignment]
    buffers = {name: tensor.clone() for name, tensor in twin.named_buffers()}
    notes = _notes(twin)
    before = torch.get_rng_state()
    tensors, axis = batch.first(1).of(slice(0, 1))
    try:
        loss = twin.step(tensors if axis is None else tuple(t[0] for t in tensors)).loss
    except _AskedError as asked:
        return f"it asks for its Trainer's {asked}"
    loss.backward()
    for name, value in _notes(twin).items():
        if value != notes.get(name):
            return f"it changes its {name} in every step"
    if not torch.equal(before, torch.get_rng_state()):
        return "it draws random numbers in every step"
    if any(not torch.equal(buffers[name], tensor) for name, tensor in twin.named_buffers()):
        return "it changes its buffers in every step"
    for name, parameter in twin.named_parameters():
        if parameter.requires_grad and parameter.grad is None:
            return f"{name} gets no gradient"
    weights = layout.row(twin)[None].repeat(2, 1)
    gradients = torch.empty_like(weights)
    both = Batch([tensors], batch.stream) if axis is None else _doubled(batch)
    objective = StackedObjective(module, layout, dtype, device)
    try:
        objective.trace(weights, both, 2)
        objective.gradients(weights, both, gradients)
        objective.evaluate(weights, both)
    except Exception as error:
        return f"torch.vmap cannot evaluate it: {' '.join(str(error).split())[:120]}"
    plain = torch.cat(
        [(torch.zeros_like(p) if p.grad is None else p.grad).reshape(-1) for p in twin.parameters()]
    )
    trained = torch.cat([torch.full((p.numel(),), p.requires_grad) for p in twin.parameters()])
    distance = ((gradients[0] - plain)[trained.to(device)]).norm().item()
    if not distance <= _TOLERANCE[dtype] * plain.norm().item() + math.ulp(1.0):
        return "its gradient is another one under torch.vmap"
    return None


class _AskedError(Exception):
    """Which attribute was asked for."""


class _Absent:
    """In place of a Trainer: there is one for all runs or none, and it has no steps to tell."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise _AskedError(name)


def _notes(module: nn.Module) -> dict[str, Any]:
    """The plain values that a module and its parts keep as attributes."""
    return {
        f"{name}.{key}" if name else key: value
        for name, part in module.named_modules()
        for key, value in vars(part).items()
        if isinstance(value, (bool, int, float, str))
    }


def _doubled(batch: Batch) -> Batch:
    double = copy.copy(batch)
    double.stream = batch.stream[:1].repeat(2)
    return double
