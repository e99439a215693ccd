"""What a run has come to: what ``result.json`` says of it, and what a sweeper is told."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from stepsize.config.direction import larger_is_better
from stepsize.loggers.metrics_csv import History


def reached(
    config: Mapping[str, Any], history: History, steps: int, optimum: float | None
) -> dict[str, Any]:
    """Where a run got to, whether or not it ended well; values for ``Run.write_result``.

    Args:
        config: the run's, as plain containers.
        history: its rows.
        steps: optimizer steps taken.
        optimum: the smallest value of the training objective, where it is known.
    """
    return {
        "steps": steps,
        "metrics": history.summary(config["monitor"], config["mode"]),
        "optimum": optimum,
        "steps_to_target": _steps_to_target(config, history),
    }


def ended(
    config: Mapping[str, Any], metrics: Mapping[str, Any], diverged: str | None
) -> dict[str, Any]:
    """The status of a run that came to its end, with reason and objective.

    Args:
        config: the run's, as plain containers.
        metrics: what :func:`reached` says of them.
        diverged: what the callback ``Divergence`` says; None where it says nothing.

    Raises:
        ValueError: the monitor was never logged.
    """
    monitor = config["monitor"]
    if monitor not in metrics:
        raise ValueError(f"monitor={monitor} was not logged; this run logged {', '.join(metrics)}")
    objective = metrics[monitor]["final"]
    if diverged is None and not math.isfinite(objective):
        diverged = f"the final value of the monitor is {objective}"
    if diverged is not None:
        return {"status": "diverged", "reason": diverged, "objective": None}
    return {"status": "completed", "reason": None, "objective": objective}


def target_of(config: Mapping[str, Any], *, knows_optimum: bool) -> dict[str, Any] | None:
    """The target that a run can meet: a task's gap is none for a model whose optimum is unknown.

    Args:
        config: the run's, as plain containers.
        knows_optimum: whether the gap is logged.
    """
    target: dict[str, Any] | None = config["target"]
    lacking = target is not None and target["metric"] == "train/gap" and not knows_optimum
    return None if lacking else target


def told(result: Mapping[str, Any]) -> float:
    """The objective as a sweeper is told: infinitely bad for a run that did not complete."""
    objective = result["objective"]
    ended_well = result["status"] == "completed" and objective is not None
    return objective if ended_well else worst(result["mode"])


def worst(mode: str) -> float:
    """What counts as infinitely bad; NaN would end a whole Optuna study."""
    return math.inf if mode == "min" else -math.inf


def _steps_to_target(config: Mapping[str, Any], history: History) -> int | None:
    target = config.get("target")
    if target is None:
        return None
    larger = larger_is_better(target["metric"], config["monitor"], config["mode"])
    return history.first_step(target["metric"], target["value"], larger=larger)
