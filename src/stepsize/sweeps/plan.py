"""The plan of a sweep: ``sweep.json``, written before the first run starts."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from stepsize.run.atomic import replacing
from stepsize.run.result import versions
from stepsize.sweeps.jobs import NOT_IN_NAMES, Job, canonical


@dataclass
class Plan:
    """Every run that a sweep's folder is to hold, and every combination that was skipped.

    Attributes:
        folder: the sweep's.
        sweep: the NAME of ``sweep=NAME``; None for a sweep without a file.
        baseline: what the report compares with; None where the report decides.
        jobs: the fields of :class:`Job` by the run's name.
        skipped: incompatible combinations: ``{"overrides": [...], "reason": "..."}``.
        commands: every command that has added runs, the latest last.
    """

    folder: Path
    sweep: str | None = None
    baseline: str | None = None
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    skipped: list[dict[str, Any]] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)

    @classmethod
    def open(cls, folder: Path, sweep: str | None, baseline: str | None) -> Plan:
        """The plan that an earlier command has left in ``folder``, or a new one."""
        plan = cls(folder, sweep, baseline)
        file = folder / "sweep.json"
        if file.is_file():
            try:
                earlier = json.loads(file.read_text("utf-8"))
                plan.jobs = {job["run"]: job for job in earlier["jobs"]}
                plan.commands = earlier["commands"]
                plan.skipped = earlier["left_out"]
                plan.baseline = baseline or earlier["baseline"]
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(
                    f"{file} is no plan of a sweep ({type(error).__name__}: {error}); remove it, "
                    "and the runs beside it are found again, or give another name"
                ) from None
        command = shlex.join(["python", Path(sys.argv[0]).name, *sys.argv[1:]])
        if command not in plan.commands:
            plan.commands.append(command)
        return plan

    def add(self, jobs: Sequence[Job]) -> None:
        """Add these jobs and write the file."""
        self.jobs.update({job.run: asdict(job) for job in jobs})
        self.write()

    def skip(self, overrides: Sequence[str], reason: str) -> None:
        """Record a combination that is not run."""
        entry = {"overrides": list(overrides), "reason": reason}
        if entry not in self.skipped:
            self.skipped.append(entry)

    def write(self) -> None:
        """Write ``sweep.json`` atomically."""
        content = {
            "name": self.folder.name,
            "sweep": self.sweep,
            "command": self.commands[-1],
            "commands": self.commands,
            "varied": self._varied(),
            "jobs": list(self.jobs.values()),
            "left_out": self.skipped,
            "baseline": self.baseline,
            "versions": versions(),
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        with replacing(self.folder / "sweep.json") as part:
            part.write_text(json.dumps(content, indent=1) + "\n", "utf-8")

    def _varied(self) -> list[str]:
        """The keys that have more than one value, in the order of their first appearance."""
        jobs = [dict(map(canonical, job["overrides"])) for job in self.jobs.values()]
        keys = dict.fromkeys(key for job in jobs for key in job if key not in NOT_IN_NAMES)
        return [key for key in keys if len({job.get(key) for job in jobs}) > 1]
