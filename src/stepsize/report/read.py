"""Reads a sweep's folder: what was planned, and what each run has left behind."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RECIPE_GROUPS = ("task", "optimizer", "scheduler", "param_groups")


def read_sweep(folder: Path) -> Sweep:
    """Read a sweep's folder, a folder of single runs, or a single run's folder.

    Without ``sweep.json`` (single runs, or another sweeper's) the rows are those of its folders.

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
        left_out=tuple(plan.get("left_out") or ()),
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
    words = dict(word.split("=", 1) for word in overrides if "=" in word)

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
        lr=_number(value("lr", words.get("optimizer.lr"))),
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
    """What Hydra noted before the run began; for a run without a result and without a plan."""
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
        return None  # several rates at once, or a word for one


STATUSES = ("completed", "diverged", "failed", "interrupted", "missing")
_FINISHED = ("completed", "diverged")


@dataclass(frozen=True)
class Target:
    """What a run was to reach.

    Attributes:
        metric: a tag, such as ``train/gap``.
        value: it is met at or beyond this value.
        steps: the first logged step at which it was met; None for a miss.
    """

    metric: str
    value: float
    steps: int | None


@dataclass(frozen=True)
class RunRow:
    """A run: what was planned, and what is known of its end.

    Attributes:
        sweep: the name of the sweep it belongs to.
        run: the name of its folder.
        folder: where it lies, or would lie.
        stage: ``compare``, or in a sweep of two stages ``tune`` and ``test``.
        status: one of ``STATUSES``.
        reason: of a divergence or a failure: one sentence.
        overrides: all words that made its configuration.
        metrics: ``{tag: {"first", "final", "best"}}``; None for a value that was not finite.
        monitor: the tag of the objective; smaller is better where ``mode`` is "min".
        objective: the final value of the monitor; None where it is not finite or not known.
        optimum: the minimum of the training objective, where it is known.
        config_hash: equal for two runs that compute the same.
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
        """Whether it says something about its setting: it was completed, or it diverged."""
        return self.status in _FINISHED

    @property
    def target_metric(self) -> str | None:
        """The metric of the target; None without a target."""
        return self.target.metric if self.target else None

    @property
    def target_value(self) -> float | None:
        """The value of the target; None without a target."""
        return self.target.value if self.target else None

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
        name: as it was given to the sweep; else the folder's.
        config: the name of the ``conf/sweep`` file, if one was used.
        commands: every command that added runs; empty where it is not recorded.
        varied: the keys that the command varied; empty where it is not recorded.
        jobs: the planned jobs as ``sweep.json`` has them; empty without one.
        left_out: ``{"overrides", "reason"}`` of each combination that was not planned.
        baseline: what differences are shown against, by the sweep's own wish.
        versions: of the packages that decide the numbers.
        runs: one row per planned job in its order, then those that no plan mentions.
    """

    folder: Path
    name: str
    config: str | None
    commands: tuple[str, ...]
    varied: tuple[str, ...]
    jobs: tuple[Mapping[str, Any], ...]
    left_out: tuple[Mapping[str, Any], ...]
    baseline: str | None
    versions: Mapping[str, str]
    runs: list[RunRow]
