"""What a sweep is to have: ``sweep.json``, written before its first run starts."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stepsize.sweeps.jobs import NOT_IN_NAMES, Job, canonical


@dataclass
class Plan:
    """Every run that a sweep's folder is to hold, whatever becomes of it.

    Attributes:
        folder: the sweep's.
        sweep: the file of ``sweep=NAME``, if it was one.
        baseline: what the report compares with, if that was said.
        entries: a job each, by the run's name, as they stand in the file.
        left_out: what the task could not take: ``{"overrides": [...], "reason": "..."}``.
        commands: those that have added to the sweep, the latest last.
    """

    folder: Path
    sweep: str | None = None
    baseline: str | None = None
    entries: dict[str, dict[str, Any]] = field(default_factory=dict)
    left_out: list[dict[str, Any]] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)

    @classmethod
    def open(cls, folder: Path, sweep: str | None, baseline: str | None) -> Plan:
        """The plan that an earlier command has left in ``folder``, or a new one."""
        plan = cls(folder, sweep, baseline)
        file = folder / "sweep.json"
        if file.is_file():
            earlier = json.loads(file.read_text("utf-8"))
            plan.entries = {entry["run"]: entry for entry in earlier["jobs"]}
            plan.commands = earlier["commands"]
            plan.left_out = earlier["left_out"]
            plan.baseline = baseline or earlier["baseline"]
        command = shlex.join(["python", Path(sys.argv[0]).name, *sys.argv[1:]])
        if command not in plan.commands:
            plan.commands.append(command)
        return plan

    def add(self, jobs: Sequence[Job]) -> None:
        """Plan these runs too, and write the file."""
        self.entries.update({job.run: job.entry() for job in jobs})
        self.write()

    def leave_out(self, overrides: Sequence[str], reason: str) -> None:
        """Note what was asked for and cannot be."""
        entry = {"overrides": list(overrides), "reason": reason}
        if entry not in self.left_out:
            self.left_out.append(entry)

    def write(self) -> None:
        """Write ``sweep.json`` in one go."""
        from stepsize.run.folder import versions

        content = {
            "name": self.folder.name,
            "sweep": self.sweep,
            "command": self.commands[-1],
            "commands": self.commands,
            "varied": self._varied(),
            "jobs": list(self.entries.values()),
            "left_out": self.left_out,
            "baseline": self.baseline,
            "versions": versions(),
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self.folder / "sweep.json.part"
        part.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
        os.replace(part, self.folder / "sweep.json")

    def _varied(self) -> list[str]:
        """The keys that have more than one value, in the order of their first appearance."""
        words = [dict(map(canonical, entry["overrides"])) for entry in self.entries.values()]
        keys = dict.fromkeys(key for job in words for key in job if key not in NOT_IN_NAMES)
        return [key for key in keys if len({job.get(key) for job in words}) > 1]
