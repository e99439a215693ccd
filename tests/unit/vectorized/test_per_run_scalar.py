"""One optimizer with a number for each run steps as one optimizer for each number."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import optim

from stepsize.vectorized.eligibility import ELEMENTWISE
from stepsize.vectorized.per_run_scalar import Each, EachRun

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
def test_every_elementwise_optimizer_takes_a_rate_for_each_run_bit_for_bit(
    kind: type[optim.Optimizer], options: dict[str, Any], dtype: torch.dtype
) -> None:
    rates = [1e-4, 1e-2, 0.3]
    generator = torch.Generator().manual_seed(0)
    shared = torch.randn(6, 5, dtype=dtype, generator=generator)
    own = shared.clone().split(2)
    ours = kind([shared], lr=rates[0], **options)  # type: ignore[call-arg]
    ours.param_groups[0]["lr"] = Each(np.repeat(rates, 2))
    theirs = [kind([w], lr=lr, **options) for w, lr in zip(own, rates, strict=True)]  # type: ignore[call-arg]
    for _ in range(30):
        shared.grad = torch.randn(6, 5, dtype=dtype, generator=generator) + shared
        with EachRun():
            ours.step()
        for optimizer, weights, gradient in zip(theirs, own, shared.grad.split(2), strict=True):
            weights.grad = gradient
            optimizer.step()
    assert torch.equal(shared, torch.cat(own))


def test_the_numbers_follow_python_s_arithmetic() -> None:
    each = Each(np.array([0.5, 2.0]))
    results = [each + 1, 1 - each, each * each, 3 / each, each**2, 2**each, -each]
    assert [list(result.values) for result in results] == [
        [1.5, 3.0], [0.5, -1.0], [0.25, 4.0], [6.0, 1.5], [0.25, 4.0], [2**0.5, 4.0], [-0.5, -2.0],
    ]  # fmt: skip


def test_code_that_reads_one_number_gets_nan() -> None:
    assert math.isnan(math.sqrt(Each(np.array([1.0, 2.0]))))


def test_a_decision_that_differs_between_runs_is_an_error() -> None:
    assert Each(np.array([0.1, 0.2]))
    assert not Each(np.array([0.0, 0.0]))
    with pytest.raises(TypeError, match="different ways"):
        bool(Each(np.array([0.0, 0.2])))


def test_a_function_that_does_not_know_them_is_an_error_and_no_wrong_number() -> None:
    each = Each(np.array([1.0, 2.0]))
    with EachRun(), pytest.raises(TypeError, match="clamp"):
        torch.zeros(2, 3).clamp(min=each)
