"""An optimizer of an unknown class is vectorized if it steps by the gradients alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim import Optimizer
from vectorized_runs import config_of, difference, individual, varied, vectorized

from stepsize.vectorized import group_jobs

CURVE = ("task=curve", "data.points=100", "trainer.max_steps=60", "trainer.precision=64-true",
         "allowed_packages=[test_eligibility]")  # fmt: skip
Closure = Callable[[], float] | None


@torch.enable_grad()
def evaluated(closure: Closure) -> float | None:
    return None if closure is None else closure()


class Remembering(Optimizer):
    """Keeps the sums of its gradients, and the weights, outside of its state."""

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
    """Its step size is the loss."""

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


def overrides_for(kind: type) -> tuple[str, ...]:
    return (*CURVE, "optimizer=sgd", f"optimizer._target_=test_eligibility.{kind.__name__}",
            "optimizer.lr=0.01")  # fmt: skip


def configs_for(kind: type, folder: Path, lrs: tuple[float, ...]) -> list[dict[str, Any]]:
    base = config_of(*overrides_for(kind), folder=folder)
    base["optimizer"] = {"_target_": f"test_eligibility.{kind.__name__}", "lr": 0.01}
    return varied(base, lrs, (0, 1))


def test_an_own_optimizer_is_vectorized_exactly(tmp_path: Path) -> None:
    # The first two runs diverge; the others change their rows and must keep weights and sums.
    outcomes = vectorized(configs_for(Remembering, tmp_path, (10.0, 0.01)))
    assert [outcome.diverged is None for outcome in outcomes] == [False, False, True, True]
    rows, result, _ = individual(*overrides_for(Remembering), "seed=1", folder=tmp_path / "run")
    assert result["steps"] == 60
    assert difference(outcomes[3].rows, rows) < 1e-10


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Polyak, "steps differently without a closure"),
        (Noisy, "draws random numbers"),
        (Adapting, "changes lr, momentum or betas by itself, differently in each run"),
        (Replacing, "replaces the gradient tensors"),
    ],
)
def test_an_optimizer_that_uses_more_than_gradients_is_trained_individually(
    kind: type, reason: str, tmp_path: Path
) -> None:
    groups, reasons = group_jobs(configs_for(kind, tmp_path, (0.01,)))
    assert not groups
    assert reasons == {0: f"{kind.__name__} {reason}", 1: f"{kind.__name__} {reason}"}
