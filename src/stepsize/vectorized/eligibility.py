"""The reasons why a run is trained individually instead of vectorized.

Vectorized training would not be exact for such a run, or would fail. A run passes four checks in
this order: of its configuration, of its module and data, of its optimizer, and of one step of its
model.
"""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Iterator, Mapping
from enum import Enum
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
from stepsize.vectorized.variant import SCHEDULED_OPTIONS, Variant

log = logging.getLogger(__name__)


class Reason(str, Enum):
    """Every reason to train a run individually, as the sentence that is logged."""

    EARLIER_FILES = "its folder has files of an earlier attempt"
    BUILDING_FAILED = "building it failed: {}"
    TRAINING_FAILED = "vectorized training failed: {}"
    # The configuration.
    RESUMES = "it resumes from ckpt_path={}"
    TRAINER = "trainer._target_={} is not pytorch_lightning.Trainer"
    TRAINER_KEY = "trainer.{} is not supported"
    TRAINER_VALUE = "trainer.{}={} is not supported"
    PROFILER = "trainer.profiler measures an individual run"
    VAL_CHECK_INTERVAL = "trainer.val_check_interval={} is not a number of steps"
    CALLBACK = "callbacks.{} may change the training"
    CALLBACK_EVERY_STEP = "callbacks.{} runs in every step; plots=false disables it"
    LOGGER = "logger.{} is not stepsize.loggers.tensorboard.RowLogger"
    # The module and the data.
    MODULE = "{} is not a stepsize.modules.Module"
    DATA = "{} is not a stepsize.data.InMemoryData"
    METHOD = "{} overrides {}"
    SPARSE_GRADIENTS = "its gradients are sparse"
    SPARSE_PARAMETER = "the frozen parameter {} is sparse"
    LAYER = "the layer {} ({}) changes with every evaluation"
    # The optimizer.
    NEEDS_CLOSURE = "{} does not step by the gradients alone"
    EVALUATES = "{} evaluates the objective elsewhere than at the weights before a step"
    REPLACES_GRADIENTS = "{} replaces the gradient tensors"
    USES_LOSS = "{} steps differently without a closure"
    CHANGES_OPTIONS = "{} changes lr, momentum or betas by itself, differently in each run"
    OPTIMIZER_IS_RANDOM = "{} draws random numbers"
    # One step of the model.
    READS_TRAINER = "its step reads the Trainer's {}"
    CHANGES_ATTRIBUTE = "its step changes its attribute {}"
    CHANGES_BUFFERS = "its step changes its buffers"
    STEP_IS_RANDOM = "its step draws random numbers"
    NO_GRADIENT = "{} gets no gradient"
    VMAP_FAILED = "torch.vmap cannot evaluate it: {}"
    VMAP_GRADIENT = "its gradient differs under torch.vmap"


# Optimizers whose step treats every number of the weights alone, from its own gradient, so that one
# of them can step the weights of many runs in one tensor.
ELEMENTWISE = (
    optim.SGD, optim.ASGD, optim.Adagrad, optim.Adadelta, optim.Adam, optim.AdamW, optim.Adamax,
    optim.NAdam, optim.RAdam, optim.RMSprop, optim.Rprop,
)  # fmt: skip
# Muon and Adafactor use whole matrices and step each run's own tensors; other classes are tested.
_KNOWN = (*ELEMENTWISE, optim.Muon, optim.Adafactor)
PRECISIONS = {"32-true": torch.float32, "64-true": torch.float64}

# Callbacks that observe, save or plot, and never change the training.
_OBSERVERS = (Divergence, LastCheckpoint, Norms, Plot, Progress)
_TRAINER_KEYS = {
    "_target_", "accelerator", "devices", "precision", "max_steps", "max_epochs",
    "log_every_n_steps", "val_check_interval", "check_val_every_n_epoch", "gradient_clip_val",
    "gradient_clip_algorithm", "accumulate_grad_batches", "deterministic", "num_sanity_val_steps",
    "enable_model_summary", "profiler",
}  # fmt: skip
_TRAINER_VALUES: dict[str, tuple[Any, ...]] = {  # Lightning's default first
    "accelerator": ("auto", "cpu", "gpu", "cuda"),
    "devices": (1, "auto"),
    "precision": tuple(PRECISIONS),
    "accumulate_grad_batches": (1,),
    "check_val_every_n_epoch": (None,),
    "num_sanity_val_steps": (0,),
    "gradient_clip_algorithm": (None, "norm", "value"),
    "deterministic": (False, None),
}
# Attributes that a subclass may define and is still evaluated as its base class.
_MODULE_METHODS = {"step", "metrics", "optimum", "forward", "__init__", "example_input_array"}
_DATA_METHODS = {"make", "batches", "fingerprint", "__init__"}
_CHANGING_LAYERS = (nn.modules.batchnorm._NormBase, nn.modules.dropout._DropoutNd)
_TRIAL_STEPS = 3
_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-8}


def config_reason(config: Mapping[str, Any]) -> str | None:
    """Why a configuration's run must be trained individually; None if it need not.

    Args:
        config: the whole configuration as plain containers, valid by ``config.schema``.

    Raises:
        ValueError: a class that does not exist or may not be imported.
    """
    return next(_config_reasons(config), None)


def _config_reasons(config: Mapping[str, Any]) -> Iterator[str]:
    trainer = config["trainer"]
    if config["ckpt_path"] is not None:
        yield Reason.RESUMES.format(config["ckpt_path"])
    if trainer["_target_"] != "pytorch_lightning.Trainer":
        yield Reason.TRAINER.format(trainer["_target_"])
    for key in trainer:
        if key not in _TRAINER_KEYS:
            yield Reason.TRAINER_KEY.format(key)
    for key, values in _TRAINER_VALUES.items():
        if trainer.get(key, values[0]) not in values:
            yield Reason.TRAINER_VALUE.format(key, trainer[key])
    profiler = trainer.get("profiler")
    if profiler and profiler != {"_target_": f"{NoProfiler.__module__}.{NoProfiler.__name__}"}:
        yield Reason.PROFILER.value
    interval = trainer.get("val_check_interval", 1.0)
    if type(interval) is not int:
        yield Reason.VAL_CHECK_INTERVAL.format(interval)
    for name, callback in (config["callbacks"] or {}).items():
        kind = locate(callback["_target_"]) if callback else Progress
        if not is_kind(kind, _OBSERVERS):
            yield Reason.CALLBACK.format(name)
        if is_kind(kind, Plot) and config["plots"] and _has_step_hooks(kind):
            yield Reason.CALLBACK_EVERY_STEP.format(name)
    for name, logger in (config["logger"] or {}).items():
        if logger and locate(logger["_target_"]) is not RowLogger:
            yield Reason.LOGGER.format(name)


def _has_step_hooks(kind: Any) -> bool:
    return kind is not Trajectory and (
        kind.on_train_batch_start is not None or kind.on_train_batch_end is not None
    )


def module_reason(module: Any, data: Any) -> str | None:
    """Why a module must be trained individually on its data; None if it need not.

    Args:
        module: the run's LightningModule.
        data: its data module.
    """
    if not isinstance(module, Module):
        return Reason.MODULE.format(type(module).__name__)
    for name in _overridden(type(module), Module, pl.LightningModule, _MODULE_METHODS):
        return Reason.METHOD.format(type(module).__name__, name)
    if not isinstance(data, InMemoryData):
        return Reason.DATA.format(type(data).__name__)
    for name in _overridden(type(data), InMemoryData, pl.LightningDataModule, _DATA_METHODS):
        return Reason.METHOD.format(type(data).__name__, name)
    if sparse_parameter_names(module):
        return Reason.SPARSE_GRADIENTS.value
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad and parameter.is_sparse:
            return Reason.SPARSE_PARAMETER.format(name)
    for name, layer in module.named_modules():
        if (
            isinstance(layer, _CHANGING_LAYERS) and getattr(layer, "p", None) != 0
        ):  # dropout's share
            return Reason.LAYER.format(name, type(layer).__name__)
    return None


def _overridden(kind: type, base: type, lightning: type, allowed: set[str]) -> Iterator[str]:
    """The methods of ``base`` or ``lightning`` that ``kind`` overrides."""
    for parent in kind.__mro__[: kind.__mro__.index(base)]:
        for name, value in vars(parent).items():
            is_code = callable(value) or isinstance(value, (property, classmethod, staticmethod))
            is_dunder = name.startswith("__") and name.endswith("__")
            known = hasattr(base, name) or hasattr(lightning, name)
            if is_code and known and name not in allowed and not is_dunder:
                yield name


def optimizer_reason(variant: Variant, module: nn.Module) -> str | None:
    """Why a variant's optimizer must train runs individually; None if it need not.

    An optimizer of an unknown class takes a few steps with a closure and without one.

    Args:
        variant: builds the optimizer.
        module: the model; not changed.
    """
    kinds = [type(part) for part in parts_of(variant.optimizer)]
    if all(kind in _KNOWN for kind in kinds):
        return None
    before = torch.get_rng_state()
    try:
        reason = _trial_steps(variant, dict(module.named_parameters()))
    except Exception:
        log.debug("a step without a closure failed", exc_info=True)
        reason = Reason.NEEDS_CLOSURE
    if reason is None and not torch.equal(before, torch.get_rng_state()):
        reason = Reason.OPTIMIZER_IS_RANDOM
    torch.set_rng_state(before)
    names = " with ".join(kind.__name__ for kind in kinds)
    return None if reason is None else reason.format(names)


def _trial_steps(variant: Variant, parameters: Mapping[str, Tensor]) -> Reason | None:
    """Compare a few steps with a closure to the same steps without one."""
    copies = [
        variant.named({name: p.detach().clone() for name, p in parameters.items()})
        for _ in range(2)
    ]
    with_closure, without = ([parameter for _, parameter in named] for named in copies)
    optimizer, other = map(variant.build, copies)
    for instance in with_modes([optimizer, other]):
        instance.train()  # type: ignore[attr-defined]
    calls: list[bool] = []
    options = _options(other)
    for step in range(_TRIAL_STEPS):
        before = [parameter.detach().clone() for parameter in with_closure]
        gradients = [torch.cos(p.detach() + step) / (1 + step) for p in with_closure]
        for own in (with_closure, without):
            for parameter, gradient in zip(own, gradients, strict=True):
                if parameter.requires_grad:
                    parameter.grad = gradient.clone()
        grads = [parameter.grad for parameter in without]

        def closure(before: list[Tensor] = before) -> float:
            calls.append(all(map(torch.equal, with_closure, before)))
            return 1.0

        optimizer.step(closure)
        with torch.no_grad():
            other.step()
        if len(calls) != step + 1 or not calls[-1]:
            return Reason.EVALUATES
        if any(p.grad is not grad for p, grad in zip(without, grads, strict=True)):
            return Reason.REPLACES_GRADIENTS
        if not all(map(torch.equal, with_closure, without)):
            return Reason.USES_LOSS
        if _options(other) != options:
            return Reason.CHANGES_OPTIONS
    return None


def _options(optimizer: Optimizer) -> list[list[Any]]:
    return [[group.get(key) for key in SCHEDULED_OPTIONS] for group in optimizer.param_groups]


def step_reason(
    module: Module, batch: Batch, dtype: torch.dtype, device: torch.device
) -> str | None:
    """Why a model's step must be computed for each run individually; None if it need not.

    Args:
        module: with its initial weights; not changed.
        batch: the first batch of the first run.
        dtype: of weights and data.
        device: of weights and data.
    """
    layout = Layout.of(module)
    model = copy.deepcopy(module).to(device, dtype)
    model._trainer = _NoTrainer()  # type: ignore[assignment]
    buffers = {name: tensor.clone() for name, tensor in model.named_buffers()}
    attributes = _attributes(model)
    before = torch.get_rng_state()
    tensors, axis = batch.first(1).of(slice(0, 1))
    try:
        loss = model.step(tensors if axis is None else tuple(t[0] for t in tensors)).loss
    except _TrainerReadError as error:
        return Reason.READS_TRAINER.format(error)
    loss.backward()
    for name, value in _attributes(model).items():
        if value != attributes.get(name):
            return Reason.CHANGES_ATTRIBUTE.format(name)
    if not torch.equal(before, torch.get_rng_state()):
        return Reason.STEP_IS_RANDOM.value
    if any(not torch.equal(buffers[name], tensor) for name, tensor in model.named_buffers()):
        return Reason.CHANGES_BUFFERS.value
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and parameter.grad is None:
            return Reason.NO_GRADIENT.format(name)
    weights = layout.row(model)[None].repeat(2, 1)
    gradients = torch.empty_like(weights)
    two = copy.copy(batch)
    two.stream = batch.stream[:1].repeat(2)
    if axis is None:
        two = Batch([tensors], batch.stream)
    objective = StackedObjective(module, layout, dtype, device)
    try:
        objective.trace(weights, two, 2)
        objective.gradients(weights, two, gradients)
        objective.evaluate(weights, two)
    except Exception as error:
        return Reason.VMAP_FAILED.format(" ".join(str(error).split())[:120])
    plain = torch.cat(
        [(torch.zeros_like(p) if p.grad is None else p.grad).reshape(-1)
         for p in model.parameters()]
    )  # fmt: skip
    trained = torch.cat([torch.full((p.numel(),), p.requires_grad) for p in model.parameters()])
    distance = ((gradients[0] - plain)[trained.to(device)]).norm().item()
    if not distance <= _TOLERANCE[dtype] * plain.norm().item() + math.ulp(1.0):
        return Reason.VMAP_GRADIENT.value
    return None


class _TrainerReadError(Exception):
    """An attribute of the Trainer was read."""


class _NoTrainer:
    """Stands in for the Trainer; reading any of its attributes is an error."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise _TrainerReadError(name)


def _attributes(module: nn.Module) -> dict[str, Any]:
    """The numbers, strings and flags that a module and its parts have as attributes."""
    return {
        f"{name}.{key}" if name else key: value
        for name, part in module.named_modules()
        for key, value in vars(part).items()
        if isinstance(value, (bool, int, float, str))
    }
