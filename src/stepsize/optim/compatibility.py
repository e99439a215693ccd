"""What particular optimizers cannot take, said before training instead of in its first step."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Sequence

import pytorch_lightning as pl
import torch
from torch import nn, optim

from stepsize.optim.param_groups import ParamGroup

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


def check_fit(
    target: type[optim.Optimizer],
    make: Callable[[list[nn.Parameter]], optim.Optimizer],
    groups: Sequence[ParamGroup],
    sparse: Collection[str],
) -> None:
    """Refuse parameters that this optimizer cannot train.

    Args:
        target: the optimizer's class.
        make: builds one with the configured options.
        groups: what it is to train.
        sparse: names of the parameters whose gradients are sparse.

    Raises:
        ValueError: says which parameter, and which task or optimizer fits.
    """
    parameters = [entry for group in groups for entry in group.parameters]
    name = target.__name__
    if hasattr(target, "first_step") and target.__module__.startswith("pytorch_optimizer."):
        raise ValueError(
            f"{name} wants gradients before its step begins, and Lightning computes them in the "
            "step; use optimizer=sam, which is pytorch_optimizer.SAM made to fit"
        )
    if issubclass(target, optim.LBFGS) and len(groups) > 1:
        raise ValueError(
            f"LBFGS takes one parameter group, and param_groups makes {len(groups)} "
            f"({', '.join(group.name for group in groups)}); use param_groups=none"
        )
    if issubclass(target, optim.Muon):
        for parameter_name, parameter in parameters:
            if parameter.ndim != 2:
                raise ValueError(
                    f"Muon takes matrices only, and {parameter_name} has {parameter.ndim} "
                    "dimension(s); use optimizer=muon, which gives the rest to AdamW, on a task "
                    "with matrices such as digits_mlp, or optimizer=adamw"
                )
    if issubclass(target, optim.SparseAdam):
        for parameter_name, _ in parameters:
            if parameter_name not in sparse:
                raise ValueError(
                    f"SparseAdam takes sparse gradients only, and {parameter_name} gets dense "
                    "ones; use task=digits_sparse, or optimizer=adam"
                )
    refuses = issubclass(target, REFUSE_SPARSE)
    if sparse and not target.__module__.startswith("torch."):
        refuses = not _takes_sparse(make)
    if refuses:
        for parameter_name, _ in parameters:
            if parameter_name in sparse:
                raise ValueError(
                    f"{name} does not take sparse gradients, and {parameter_name} gets them; use "
                    "optimizer=sparse_adam, sgd or adagrad, or task=digits_mlp"
                )


def _takes_sparse(make: Callable[[list[nn.Parameter]], optim.Optimizer]) -> bool:
    """Whether a step with a sparse gradient ends well; other packages' classes differ in this."""
    parameter = nn.Parameter(torch.ones(2, 1))
    optimizer = make([parameter])
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


def check_trainer(kinds: Sequence[type[optim.Optimizer]], trainer: pl.Trainer) -> None:
    """Refuse ways of training that these optimizers would get wrong gradients in.

    Raises:
        ValueError: names the trainer's option and what it can be.
    """
    for kind in kinds:
        accumulated = trainer.accumulate_grad_batches
        if evaluates_repeatedly(kind) and accumulated > 1:
            raise ValueError(
                f"trainer.accumulate_grad_batches={accumulated}: {kind.__name__} evaluates the "
                "model several times per step, and only the last batch could be evaluated again; "
                "use 1 and a larger data.batch_size"
            )
        if (evaluates_repeatedly(kind) or needs_graph(kind)) and trainer.precision == "16-mixed":
            raise ValueError(
                f"trainer.precision=16-mixed scales the loss, which {kind.__name__} cannot undo; "
                "use 32-true or bf16-mixed"
            )
        backward = type(trainer.lightning_module).backward
        if needs_graph(kind) and backward is pl.LightningModule.backward:
            raise ValueError(
                f"{kind.__name__} differentiates the gradient again; inherit from "
                "stepsize.modules.Module, or write backward(loss) with "
                "loss.backward(create_graph=True)"
            )


def has_modes(kind: type[optim.Optimizer]) -> bool:
    """Whether the weights of training and of evaluation differ: it has ``train`` and ``eval``."""
    return callable(getattr(kind, "train", None)) and callable(getattr(kind, "eval", None))


def evaluates_repeatedly(kind: type[optim.Optimizer]) -> bool:
    """Whether one step calls its closure more than once."""
    return issubclass(kind, optim.LBFGS) or hasattr(kind, "first_step")


def needs_graph(kind: type[optim.Optimizer]) -> bool:
    """Whether a step differentiates the gradient again, which backward must then allow for.

    The classes of pytorch_optimizer that do (SophiaH, AdaHessian) call one function for it.
    """
    code = getattr(inspect.unwrap(kind.step), "__code__", None)
    return code is not None and "compute_hutchinson_hessian" in code.co_names
