"""What particular optimizers cannot take, said before training instead of in its first step."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from torch import optim

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
    target: Callable[..., optim.Optimizer], groups: Sequence[ParamGroup], sparse: Collection[str]
) -> None:
    """Refuse parameters that this optimizer cannot train.

    Args:
        target: the optimizer's class.
        groups: what it is to train.
        sparse: names of the parameters whose gradients are sparse.

    Raises:
        ValueError: says which parameter, and which task or optimizer fits.
    """
    if not isinstance(target, type):
        return
    parameters = [entry for group in groups for entry in group.parameters]
    name = target.__name__
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
    if issubclass(target, REFUSE_SPARSE):
        for parameter_name, _ in parameters:
            if parameter_name in sparse:
                raise ValueError(
                    f"{name} does not take sparse gradients, and {parameter_name} gets them; use "
                    "optimizer=sparse_adam, sgd or adagrad, or task=digits_mlp"
                )
