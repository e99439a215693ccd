"""One optimizer with a scalar per run steps like one optimizer for each scalar."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import optim

from stepsize.vectorized.eligibility import ELEMENTWISE
from stepsize.vectorized.per_run_scalar import PerRunArithmetic, PerRunScalar

OPTIONS: dict[type, list[dict[str, Any]]] = {
    optim.SGD: [{}, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}],
    optim.Adam: [{}, {"weight_decay": 0.1}, {"amsgrad": True}],
    optim.NAdam: [{}, {"weight_decay": 0.1, "decoupled_weight_decay": True}],
    optim.RMSprop: [{}, {"centered": True, "momentum": 0.9}],
    optim.ASGD: [{}, {"t0": 10}],
    optim.Adagrad: [{"lr_decay": 0.01, "initial_accumulator_value": 0.1}],
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(
    ("kind", "options"),
    [(kind, options) for kind in ELEMENTWISE for options in OPTIONS.get(kind, [{}])],
    ids=lambda value: value.__name__ if isinstance(value, type) else " ".join(value),
)
def test_every_elementwise_optimizer_steps_with_an_lr_per_run_bit_for_bit(
    kind: type[optim.Optimizer], options: dict[str, Any], dtype: torch.dtype
) -> None:
    lrs = [1e-4, 1e-2, 0.3]
    generator = torch.Generator().manual_seed(0)
    shared = torch.randn(6, 5, dtype=dtype, generator=generator)
    own = shared.clone().split(2)
    ours = kind([shared], lr=lrs[0], **options)  # type: ignore[call-arg]
    ours.param_groups[0]["lr"] = PerRunScalar(np.repeat(lrs, 2))
    theirs = [kind([w], lr=lr, **options) for w, lr in zip(own, lrs, strict=True)]  # type: ignore[call-arg]
    for _ in range(30):
        shared.grad = torch.randn(6, 5, dtype=dtype, generator=generator) + shared
        with PerRunArithmetic():
            ours.step()
        for optimizer, weights, gradient in zip(theirs, own, shared.grad.split(2), strict=True):
            weights.grad = gradient
            optimizer.step()
    assert torch.equal(shared, torch.cat(own))


def test_a_per_run_scalar_follows_python_s_arithmetic() -> None:
    scalar = PerRunScalar(np.array([0.5, 2.0]))
    results = [scalar + 1, 1 - scalar, scalar * scalar, 3 / scalar, scalar**2, 2**scalar, -scalar]
    assert [list(result.values) for result in results] == [
        [1.5, 3.0], [0.5, -1.0], [0.25, 4.0], [6.0, 1.5], [0.25, 4.0], [2**0.5, 4.0], [-0.5, -2.0],
    ]  # fmt: skip


def test_code_that_reads_a_single_number_gets_nan() -> None:
    assert math.isnan(math.sqrt(PerRunScalar(np.array([1.0, 2.0]))))


def test_a_decision_that_differs_between_runs_is_an_error() -> None:
    assert PerRunScalar(np.array([0.1, 0.2]))
    assert not PerRunScalar(np.array([0.0, 0.0]))
    with pytest.raises(TypeError, match="differs between the runs"):
        bool(PerRunScalar(np.array([0.0, 0.2])))


def test_an_unsupported_function_is_an_error_and_not_a_wrong_number() -> None:
    scalar = PerRunScalar(np.array([1.0, 2.0]))
    with PerRunArithmetic(), pytest.raises(TypeError, match="clamp"):
        torch.zeros(2, 3).clamp(min=scalar)
