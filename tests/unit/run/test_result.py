"""result.json: the status, metrics and objective of a run."""

import json
import math
import signal
from pathlib import Path

import pytest

from stepsize.callbacks.interruption import Interrupted
from stepsize.loggers.metrics_csv import History
from stepsize.run.folder import EarlierAttempt, Run
from stepsize.run.result import objective_of, reachable_target, result_of, write_result

CONFIG = {
    "monitor": "train/loss", "mode": "min", "seed": 3, "optimizer": {"lr": 0.1},
    "target": {"metric": "train/loss", "value": 1.5},
}  # fmt: skip


def run_in(folder: Path, **changes) -> Run:
    config = {**CONFIG, **changes}
    return Run(folder, config, {"task": "line"}, ("seed=3",), EarlierAttempt.none(folder))


def history_of(*losses: float) -> History:
    history = History()
    for step, loss in enumerate(losses):
        history.log_metrics({"train/loss": loss}, step)
    return history


def test_a_completed_run_has_its_final_value_as_objective(tmp_path):
    result = result_of(run_in(tmp_path), history_of(2.0, 1.0), steps=1)
    assert (result["status"], result["objective"]) == ("completed", 1.0)
    assert result["target"] == {"metric": "train/loss", "value": 1.5, "steps": 1}
    assert objective_of(result) == 1.0


@pytest.mark.parametrize(("mode", "worst"), [("min", math.inf), ("max", -math.inf)])
@pytest.mark.parametrize(
    ("losses", "reason"),
    [((1.0, 9.0), "too large"), ((1.0, math.nan), None), ((1.0, math.inf), None)],
)
def test_a_diverged_run_is_infinitely_bad(tmp_path, mode, worst, losses, reason):
    result = result_of(run_in(tmp_path, mode=mode), history_of(*losses), diverged=reason)
    assert (result["status"], result["objective"]) == ("diverged", None)
    assert result["reason"] == (reason or f"the final value of the monitor is {losses[1]}")
    assert objective_of(result) == worst


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (ValueError("lr=x"), "failed", "lr=x"),
        (Interrupted(signal.SIGINT), "interrupted", "Ctrl-C"),
        (Interrupted(signal.SIGTERM), "interrupted", "SIGTERM"),
        (SystemExit(1), "interrupted", "SystemExit"),
    ],
)
def test_an_error_decides_the_status(tmp_path, error, status, reason):
    result = result_of(run_in(tmp_path), history_of(2.0), error=error)
    assert (result["status"], result["reason"], result["objective"]) == (status, reason, None)
    assert result["metrics"]["train/loss"]["final"] == 2.0


def test_a_monitor_that_was_not_logged_is_named_with_the_tags_that_were(tmp_path):
    with pytest.raises(ValueError, match=r"monitor=val/acc was not logged.*train/loss"):
        result_of(run_in(tmp_path, monitor="val/acc"), history_of(1.0))


def test_numbers_that_are_not_finite_are_null_in_the_file(tmp_path):
    write_result(tmp_path, result_of(run_in(tmp_path), history_of(1.0, math.nan)))
    written = json.loads((tmp_path / "result.json").read_text())
    assert written["metrics"]["train/loss"] == {"first": 1.0, "final": None, "best": 1.0}
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


@pytest.mark.parametrize("known", [True, False])
def test_a_target_for_the_gap_needs_a_known_optimum(known):
    target = {"metric": "train/gap", "value": 1e-3}
    found = reachable_target({"target": target}, optimum_known=known)
    assert found == (target if known else None)
