"""Reads a sweep's folder: the planned jobs, and the result of each run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stepsize.config.schema import RECIPE_GROUPS, larger_is_better

STATUSES = ("completed", "diverged", "failed", "interrupted", "missing")


@dataclass(frozen=True)
class Target:
    """A value of a metric that a run should reach.

    Attributes:
        metric: a tag, such as ``train/gap``.
        value: the target is met at or beyond this value.
        steps: first logged step at which it was met; None for a miss.
    """

    metric: str
    value: float
    steps: int | None


@dataclass(frozen=True)
class RunRow:
    """A run: its planned job, and its result if it has one.

    Attributes:
        sweep: name of its sweep.
        run: name of its folder.
        folder: path of its folder, which a missing run does not have.
        stage: ``compare``, or in a sweep of two stages ``tune`` and ``test``.
        status: one of ``STATUSES``.
        reason: of a divergence or a failure: one sentence.
        overrides: all overrides of its configuration.
        metrics: ``{tag: {"first", "final", "best"}}``; None for a value that was not finite.
        monitor: the tag of the objective; smaller is better if ``mode`` is "min".
        objective: final value of the monitor; None if it is not finite or unknown.
        optimum: minimum of the training objective, where known.
        config_hash: equal for two runs with equal computations.
    """

    sweep: str
    run: str
    folder: Path
    stage: str
    status: str
    reason: str | None
    task: str
    optimizer: str
    scheduler: str
    param_groups: str
    seed: int | None
    lr: float | None
    overrides: tuple[str, ...]
    steps: int = 0
    seconds: float | None = None
    monitor: str = "train/loss"
    mode: str = "min"
    objective: float | None = None
    metrics: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    optimum: float | None = None
    target: Target | None = None
    config_hash: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        """Whether it completed or diverged, so that it counts for its hyperparameter setting."""
        return self.status in ("completed", "diverged")

    @property
    def target_metric(self) -> str | None:
        """The metric of the target, if there is one."""
        return self.target.metric if self.target else None

    @property
    def target_value(self) -> float | None:
        """The value of the target, if there is one."""
        return self.target.value if self.target else None

    @property
    def target_steps(self) -> float | None:
        """Steps to the target: inf for a miss, None without a target or a result."""
        if self.target is None or not self.finished:
            return None
        return float("inf") if self.target.steps is None else float(self.target.steps)

    @property
    def ends_at_target(self) -> bool | None:
        """Whether the final value meets the target; None without a target or a final value."""
        if self.target is None or not self.finished:
            return None
        if self.status == "diverged":
            return False
        final = self.metrics.get(self.target.metric, {}).get("final")
        if final is None:
            return None
        larger = larger_is_better(self.target.metric, self.monitor, self.mode)
        return final >= self.target.value if larger else final <= self.target.value


@dataclass(frozen=True)
class Sweep:
    """A folder of runs.

    Attributes:
        folder: its path.
        name: the sweep's name; else the folder's.
        commands: every command that added runs; empty if not recorded.
        skipped: ``{"overrides", "reason"}`` of each skipped combination.
        baseline: the baseline that the sweep names, if any.
        versions: of the packages that affect the numbers.
        runs: one row per planned job, in order, then the unplanned ones.
    """

    folder: Path
    name: str
    commands: tuple[str, ...]
    skipped: tuple[Mapping[str, Any], ...]
    baseline: str | None
    versions: Mapping[str, str]
    runs: list[RunRow]


def read_sweep(folder: Path) -> Sweep:
    """Read a sweep's folder, a folder of single runs, or a single run's folder.

    Without ``sweep.json`` (single runs, or another sweeper's) the rows are its subfolders.

    Raises:
        ValueError: no such folder, a folder without runs, or an unreadable ``sweep.json``.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder")
    plan = _plan(folder)
    name = str(plan.get("name") or folder.resolve().name)
    jobs = plan.get("jobs") or []
    rows = [_row(name, folder / job["run"], job) for job in jobs]
    planned = {job["run"] for job in jobs}
    rows += [_row(name, run, {}) for run in _run_folders(folder) if run.name not in planned]
    if not rows:
        raise ValueError(f"{folder} holds no runs{_hint(folder)}")
    commands = plan.get("commands") or ([plan["command"]] if plan.get("command") else [])
    return Sweep(
        folder=folder,
        name=name,
        commands=tuple(commands),
        skipped=tuple(plan.get("left_out") or ()),
        baseline=plan.get("baseline"),
        versions=plan.get("versions") or next((row.versions for row in rows if row.versions), {}),
        runs=rows,
    )


def _plan(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / "sweep.json").read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except json.JSONDecodeError as error:
        raise ValueError(f"{folder / 'sweep.json'} is not JSON: {error}") from None


def _run_folders(folder: Path) -> list[Path]:
    if _is_run(folder):
        return [folder]
    runs = [entry for entry in folder.iterdir() if entry.is_dir() and _is_run(entry)]
    # Hydra's own names are numbers: 10 comes after 9.
    return sorted(runs, key=lambda run: (len(run.name) * run.name.isdigit(), run.name))


def _is_run(folder: Path) -> bool:
    return (folder / "result.json").exists() or (folder / ".hydra").is_dir()


def _hint(folder: Path) -> str:
    inside = sorted(
        entry.name
        for entry in folder.iterdir()
        if entry.is_dir() and ((entry / "sweep.json").exists() or _run_folders(entry))
    )
    return f"; it holds folders that do: {', '.join(inside[:5])}" if inside else ""


def _row(sweep: str, folder: Path, job: Mapping[str, Any]) -> RunRow:
    result = _result(folder, job)
    overrides = tuple(result.get("overrides") or job.get("overrides") or ())
    values = dict(override.split("=", 1) for override in overrides if "=" in override)

    def value(key: str, default: Any = None) -> Any:
        found = result.get(key)
        return job.get(key, default) if found is None else found

    target = value("target")
    return RunRow(
        sweep=sweep,
        run=folder.name,
        folder=folder,
        stage=job.get("stage") or "compare",
        status=str(result["status"]),
        reason=result.get("reason"),
        task=str(value("task")),
        optimizer=str(value("optimizer")),
        scheduler=str(value("scheduler", "none")),
        param_groups=str(value("param_groups", "none")),
        seed=value("seed"),
        lr=_number(value("lr", values.get("optimizer.lr"))),
        overrides=overrides,
        steps=int(value("steps", 0)),
        seconds=value("seconds"),
        monitor=str(value("monitor", "train/loss")),
        mode=str(value("mode", "min")),
        objective=_objective(result),
        metrics=result.get("metrics") or {},
        optimum=result.get("optimum"),
        target=Target(target["metric"], target["value"], target.get("steps")) if target else None,
        config_hash=result.get("config_hash"),
        versions=result.get("versions") or {},
    )


def _result(folder: Path, job: Mapping[str, Any]) -> dict[str, Any]:
    """``result.json``; for a run without one its job or configuration, with a status."""
    reason = None
    try:
        return json.loads((folder / "result.json").read_text("utf-8"))
    except FileNotFoundError:
        pass
    except ValueError as error:
        reason = f"result.json cannot be read: {error}"
    status = "interrupted" if folder.is_dir() else "missing"
    return {**(job or _configured(folder)), "status": status, "reason": reason}


def _objective(result: Mapping[str, Any]) -> float | None:
    if "objective" in result:
        return result["objective"]
    monitored = (result.get("metrics") or {}).get(result.get("monitor", "train/loss"), {})
    return monitored.get("final")


def _configured(folder: Path) -> dict[str, Any]:
    """The configuration that Hydra saved before the run, for a run without result and job."""
    from omegaconf import DictConfig, OmegaConf

    try:
        config, hydra = (
            OmegaConf.load(folder / ".hydra" / name) for name in ("config.yaml", "hydra.yaml")
        )
    except (OSError, ValueError):
        return {"task": "unknown", "optimizer": "unknown"}
    assert isinstance(config, DictConfig)
    assert isinstance(hydra, DictConfig)
    choices = hydra.hydra.runtime.choices
    return {
        **{key: config.get(key) for key in ("seed", "monitor", "mode")},
        **{group: choices.get(group) for group in RECIPE_GROUPS},
        "lr": (config.get("optimizer") or {}).get("lr"),
        "overrides": list(hydra.hydra.overrides.task),
    }


def _number(value: Any) -> float | None:
    try:
        return None if value is None else float(value)
    except (TypeError, ValueError):
        return None  # several learning rates, or text
