"""What particular optimizers cannot train, refused before training instead of during it."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Sequence

import pytorch_lightning as pl
import torch
from torch import nn, optim

from stepsize.optim.param_groups import ParamGroup
from stepsize.optim.spec import OptimizerSpec

# torch raises "does not support sparse gradients" in the first step of these.
REFUSE_SPARSE = (
    optim.ASGD,
    optim.Adadelta,
    optim.Adafactor,
    optim.Adam,
    optim.AdamW,
    optim.Adamax,
    optim.Muon,
    optim.NAdam,
    optim.RAdam,
    optim.RMSprop,
    optim.Rprop,
)


def check_parameters(
    spec: OptimizerSpec, groups: Sequence[ParamGroup], sparse: Collection[str]
) -> None:
    """Refuse parameters that this optimizer cannot train.

    Args:
        spec: the optimizer.
        groups: what it is to train.
        sparse: names of the parameters whose gradients are sparse.

    Raises:
        ValueError: names the parameter, and a task or an optimizer to use instead.
    """
    target, name = spec.target, spec.target.__name__
    if hasattr(target, "first_step") and target.__module__.startswith("pytorch_optimizer."):
        raise ValueError(
            f"{name} needs gradients before its step begins, and Lightning computes them in the "
            "step; use optimizer=sam, a pytorch_optimizer.SAM for Lightning"
        )
    if issubclass(target, optim.LBFGS) and len(groups) > 1:
        raise ValueError(
            f"LBFGS takes one parameter group, and param_groups makes {len(groups)} "
            f"({', '.join(group.name for group in groups)}); use param_groups=none"
        )
    refuses_sparse = issubclass(target, REFUSE_SPARSE)
    if sparse and not target.__module__.startswith("torch."):
        refuses_sparse = not _takes_sparse(spec)
    for group in groups:
        for parameter, tensor in group.parameters:
            if issubclass(target, optim.Muon) and tensor.ndim != 2:
                raise ValueError(
                    f"Muon takes matrices only, and {parameter} has {tensor.ndim} dimension(s); "
                    "use optimizer=muon, which trains all others by AdamW, on a task with matrices "
                    "such as digits_mlp, or optimizer=adamw"
                )
            if issubclass(target, optim.SparseAdam) and parameter not in sparse:
                raise ValueError(
                    f"SparseAdam takes sparse gradients only, and {parameter} gets dense ones; "
                    "use task=digits_sparse, or optimizer=adam"
                )
            if refuses_sparse and parameter in sparse:
                raise ValueError(
                    f"{name} does not take sparse gradients, and {parameter} gets them; use "
                    "optimizer=sparse_adam, sgd or adagrad, or task=digits_mlp"
                )


def _takes_sparse(spec: OptimizerSpec) -> bool:
    """Whether a trial step with a sparse gradient works, for classes that are not torch's."""
    parameter = nn.Parameter(torch.ones(2, 1))
    optimizer = spec.make([parameter])
    if has_modes(type(optimizer)):
        optimizer.train()  # type: ignore[attr-defined]

    def closure() -> float:
        parameter.grad = torch.ones(2, 1).to_sparse(1)
        return 1.0

    closure()
    try:
        with torch.random.fork_rng(devices=[]):
            optimizer.step(closure)
    except Exception:
        return False
    return True


def check_trainer(classes: Sequence[type[optim.Optimizer]], trainer: pl.Trainer) -> None:
    """Refuse options of the Trainer with which these optimizers would get wrong gradients.

    Raises:
        ValueError: names the Trainer's option and the values that it can have.
    """
    for cls in classes:
        accumulated = trainer.accumulate_grad_batches
        if evaluates_repeatedly(cls) and accumulated > 1:
            raise ValueError(
                f"trainer.accumulate_grad_batches={accumulated}: {cls.__name__} evaluates the "
                "model several times per step, and only the last batch could be evaluated again; "
                "use 1 and a larger data.batch_size"
            )
        if (evaluates_repeatedly(cls) or needs_graph(cls)) and trainer.precision == "16-mixed":
            raise ValueError(
                f"trainer.precision=16-mixed scales the loss, which {cls.__name__} cannot undo; "
                "use 32-true or bf16-mixed"
            )
        backward = type(trainer.lightning_module).backward
        if needs_graph(cls) and backward is pl.LightningModule.backward:
            raise ValueError(
                f"{cls.__name__} differentiates the gradient again; inherit from "
                "stepsize.modules.Module, or write backward(loss) with "
                "loss.backward(create_graph=True)"
            )


def has_modes(cls: type[optim.Optimizer]) -> bool:
    """Whether it trains and evaluates at different weights, switched by ``train`` and ``eval``."""
    return callable(getattr(cls, "train", None)) and callable(getattr(cls, "eval", None))


def evaluates_repeatedly(cls: type[optim.Optimizer]) -> bool:
    """Whether one step calls its closure more than once."""
    return issubclass(cls, optim.LBFGS) or hasattr(cls, "first_step")


def needs_graph(cls: type[optim.Optimizer]) -> bool:
    """Whether a step differentiates the gradient, so that backward must keep the graph.

    The classes of pytorch_optimizer that do so (SophiaH, AdaHessian) call one function for it.
    """
    code = getattr(inspect.unwrap(cls.step), "__code__", None)
    return code is not None and "compute_hutchinson_hessian" in code.co_names
