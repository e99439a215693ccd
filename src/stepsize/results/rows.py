"""A sweep as typed rows: one per planned run, whatever became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
