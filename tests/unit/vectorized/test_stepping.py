"""Optimizers that nobody has listed are tried out: do they step by the gradients alone?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from together import alone, config_of, difference, together, varied
from torch.optim import Optimizer

from stepsize.vectorized import sort_out

CURVE = ("task=curve", "data.points=100", "trainer.max_steps=60", "trainer.precision=64-true",
         "allowed_packages=[test_stepping]")  # fmt: skip
Closure = Callable[[], float] | None


@torch.enable_grad()
def evaluated(closure: Closure) -> float | None:
    return None if closure is None else closure()


class Remembering(Optimizer):
    """Goes along the sum of all gradients, which it keeps, with the weights, where nobody looks."""

    def __init__(self, params: Any, lr: float = 1e-2) -> None:
        super().__init__(params, {"lr": lr})
        self.weights = [p for group in self.param_groups for p in group["params"]]
        self.sums = [torch.zeros_like(p) for p in self.weights]

    @torch.no_grad()
    def step(self, closure: Closure = None) -> float | None:  # type: ignore[override]
        loss = evaluated(closure)
        for weight, total in zip(self.weights, self.sums, strict=True):
            total.mul_(0.9).add_(weight.grad)
            weight.sub_(self.param_groups[0]["lr"] * total)
        return loss


class Polyak(Remembering):
    """Its step is as long as the loss says."""

    @torch.no_grad()
    def step(self, closure: Closure = None) -> float | None:  # type: ignore[override]
        loss = evaluated(closure)
        for weight in self.weights:
            weight.sub_(weight.grad * (0.01 if loss is None else float(loss)))
        return loss


class Noisy(Remembering):
    def step(self, closure: Closure = None) -> float | None:  # type: ignore[override]
        loss = super().step(closure)
        torch.rand(1)
        return loss


class Replacing(Remembering):
    def step(self, closure: Closure = None) -> float | None:  # type: ignore[override]
        loss = super().step(closure)
        self.zero_grad(set_to_none=True)
        return loss


class Adapting(Remembering):
    def step(self, closure: Closure = None) -> float | None:  # type: ignore[override]
        loss = super().step(closure)
        self.param_groups[0]["lr"] *= 1 + float(self.sums[0].norm())
        return loss


def words_for(kind: type) -> tuple[str, ...]:
    return (*CURVE, "optimizer=sgd", f"optimizer._target_=test_stepping.{kind.__name__}",
            "optimizer.lr=0.01")  # fmt: skip


def configs_for(kind: type, folder: Path, rates: tuple[float, ...]) -> list[dict[str, Any]]:
    base = config_of(*words_for(kind), folder=folder)
    base["optimizer"] = {"_target_": f"test_stepping.{kind.__name__}", "lr": 0.01}
    return varied(base, rates, (0, 1))


def test_an_optimizer_of_one_s_own_is_trained_together_exactly(tmp_path: Path) -> None:
    # The first two runs diverge and go; the others move up and must keep their weights and sums.
    outcomes = together(configs_for(Remembering, tmp_path, (10.0, 0.01)))
    assert [outcome.diverged is None for outcome in outcomes] == [False, False, True, True]
    rows, result, _ = alone(*words_for(Remembering), "seed=1", folder=tmp_path / "run")
    assert result["steps"] == 60
    assert difference(outcomes[3].rows, rows) < 1e-10


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Polyak, "steps otherwise without a closure"),
        (Noisy, "draws random numbers"),
        (Adapting, "moves what schedules move, in each run another way"),
        (Replacing, "puts other tensors in the gradients' places"),
    ],
)
def test_one_that_does_more_than_that_is_left_to_the_ordinary_way(
    kind: type, reason: str, tmp_path: Path
) -> None:
    groups, left = sort_out(configs_for(kind, tmp_path, (0.01,)))
    assert not groups
    assert left == {0: f"{kind.__name__} {reason}", 1: f"{kind.__name__} {reason}"}
