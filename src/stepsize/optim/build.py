"""Configuration and parameter groups -> a torch optimizer."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from torch import nn
from torch.optim import Optimizer

from stepsize.optim.plan import plan_optimizer


def build_optimizer(
    config: Mapping[str, Any],
    named_parameters: Iterable[tuple[str, nn.Parameter]],
    param_groups: Mapping[str, Any] | None = None,
    *,
    sparse: Collection[str] = (),
) -> Optimizer:
    """Build the optimizer that ``config`` describes, over named parameter groups.

    Args:
        config: ``_target_`` and the optimizer's options, as plain containers. With ``takes`` (the
            keys ``match`` and ``ndim`` of a rule, or a list of such, of which the first that
            matches anything counts) it takes only what matches, and ``rest``, another optimizer's
            config, takes the others.
        named_parameters: ``module.named_parameters()``; those that need no gradient are left out.
        param_groups: rules by group name, see :mod:`stepsize.optim.param_groups`.
        sparse: names of the parameters whose gradients are sparse.

    Returns:
        A torch optimizer. Its groups carry ``name``; those of a composite are called
        ``<group>/<optimizer's class>``. Frozen groups are not in it: their parameters no longer
        require a gradient.

    Raises:
        ValueError: an option, a rule or a value that does not fit; the message says what does.
    """
    return plan_optimizer(config, named_parameters, param_groups, sparse=sparse).build()


def sparse_parameter_names(module: nn.Module) -> set[str]:
    """Names of the parameters that get sparse gradients: those of embeddings with sparse=True."""
    return {
        f"{name}.weight" if name else "weight"
        for name, child in module.named_modules()
        if isinstance(child, (nn.Embedding, nn.EmbeddingBag)) and child.sparse
    }
