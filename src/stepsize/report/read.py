"""Reads a sweep's folder: the planned jobs, and the result of each run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RECIPE_GROUPS = ("task", "optimizer", "scheduler", "param_groups")


def read_sweep(folder: Path) -> Sweep:
    """Read a sweep's folder, a folder of single runs, or a single run's folder.

    Without ``sweep.json`` (single runs, or another sweeper's) each run's folder gives a row.

    Raises:
        ValueError: there is no such folder, it holds no runs, or ``sweep.json`` cannot be read.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder")
    plan = _plan(folder)
    name = str(plan.get("name") or folder.resolve().name)
    jobs = plan.get("jobs") or []
    rows = [_row(name, folder / job["run"], job) for job in jobs]
    planned = {job["run"] for job in jobs}
    for run in _run_folders(folder):
        if run.name not in planned:
            rows.append(_row(name, run, {}))
    if not rows:
        raise ValueError(f"{folder} holds no runs{_hint(folder)}")
    commands = plan.get("commands") or ([plan["command"]] if plan.get("command") else [])
    return Sweep(
        folder=folder,
        name=name,
        config=plan.get("sweep"),
        commands=tuple(commands),
        varied=tuple(plan.get("varied") or ()),
        jobs=tuple(jobs),
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
    return sorted(runs, key=lambda run: (len(run.name), run.name) if run.name.isdigit() else
                  (0, run.name))  # fmt: skip


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
    result, trouble = _result(folder)
    if result is None:
        status = "interrupted" if folder.is_dir() else "missing"
        known = dict(job) if job else _configured(folder)
        result = {**known, "status": status, "reason": trouble}
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


def _result(folder: Path) -> tuple[dict[str, Any] | None, str | None]:
    try:
        result = json.loads((folder / "result.json").read_text("utf-8"))
    except FileNotFoundError:
        return None, None
    except ValueError as error:
        return None, f"result.json cannot be read: {error}"
    return result, None


def _objective(result: Mapping[str, Any]) -> float | None:
    if "objective" in result:
        return result["objective"]
    monitored = (result.get("metrics") or {}).get(result.get("monitor", "train/loss"), {})
    return monitored.get("final")


def _configured(folder: Path) -> dict[str, Any]:
    """Hydra's own record of a run, for one that has neither a result nor a plan."""
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
        return None  # several learning rates, or the name of one


STATUSES = ("completed", "diverged", "failed", "interrupted", "missing")
_FINISHED = ("completed", "diverged")


@dataclass(frozen=True)
class Target:
    """The target of a run and the step that reached it.

    Attributes:
        metric: a tag, such as ``train/gap``.
        value: the target is reached at or beyond this value of the metric.
        steps: the first logged step that reached it; None for a miss.
    """

    metric: str
    value: float
    steps: int | None


@dataclass(frozen=True)
class RunRow:
    """A run: its planned job and its result.

    Attributes:
        sweep: the name of its sweep.
        run: the name of its folder.
        folder: its path, which need not exist.
        stage: ``compare``, or in a sweep of two stages ``tune`` and ``test``.
        status: one of ``STATUSES``.
        reason: why it diverged or failed, in one sentence.
        overrides: all of its configuration.
        metrics: ``{tag: {"first", "final", "best"}}``; None for a value that was not finite.
        monitor: the tag of the objective; smaller is better where ``mode`` is "min".
        objective: the final value of the monitor; None where it is not finite or not known.
        optimum: the minimum of the training objective; None where it is not known.
        config_hash: equal for two runs that compute the same.
        label: short name of its hyperparameter setting in the report; empty until it is named.
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
    label: str = ""

    def metric(self, tag: str, which: str = "final") -> float | None:
        """The "first", "final" or "best" value of a metric; None where there is none."""
        return self.metrics.get(tag, {}).get(which)

    @property
    def finished(self) -> bool:
        """Whether its status is completed or diverged, so that it counts in the statistics."""
        return self.status in _FINISHED

    @property
    def target_steps(self) -> float | None:
        """Steps to the target: inf for a miss, None where there is no target or no result."""
        if self.target is None or not self.finished:
            return None
        return float("inf") if self.target.steps is None else float(self.target.steps)


@dataclass(frozen=True)
class Sweep:
    """A folder of runs.

    Attributes:
        folder: as it was given.
        name: the sweep's own; else the folder's.
        config: the name of the ``conf/sweep`` file, if one was used.
        commands: every command that added runs; empty where none is recorded.
        varied: the keys that the command varied; empty where none is recorded.
        jobs: the planned jobs as ``sweep.json`` has them; empty without one.
        skipped: ``{"overrides", "reason"}`` of each combination that the sweep skipped.
        baseline: of the paired differences, as the sweep's configuration names it.
        versions: of the packages that determine the numbers.
        runs: the planned jobs in order, then the other runs in the folder.
    """

    folder: Path
    name: str
    config: str | None
    commands: tuple[str, ...]
    varied: tuple[str, ...]
    jobs: tuple[Mapping[str, Any], ...]
    skipped: tuple[Mapping[str, Any], ...]
    baseline: str | None
    versions: Mapping[str, str]
    runs: list[RunRow]
