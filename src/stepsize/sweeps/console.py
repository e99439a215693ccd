"""A sweep on the console: its progress on one line, and a table of its settings at the end."""

from __future__ import annotations

import functools
import json
import os
import shlex
import statistics
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from stepsize.report.labels import name_settings
from stepsize.report.read import STATUSES, RunRow, Sweep
from stepsize.run.console import shown_path, tensorboard_command
from stepsize.run.folder import EarlierAttempt

_COLOURS = {
    "completed": "green",
    "diverged": "red",
    "failed": "bold red",
    "interrupted": "yellow",
    "missing": "dim",
}
_SECONDS_BETWEEN_LOOKS = 0.5
_SECONDS_BETWEEN_LINES = 10.0
_MOST_SETTINGS = 40  # rows of the table
_MOST_REASONS = 12  # lines below it
_MOST_CURVES = 40  # runs; TensorBoard selects none of more by default


class SweepProgress:
    """Shows how many runs of a sweep are done, running, diverged and failed, and the time left.

    It watches the sweep's folder, so that any launcher may run the jobs: in this process, in
    others, or on other machines. On a terminal one line renews itself; elsewhere a line is printed
    every ten seconds while runs are active. A run that does not complete is printed when it ends.

    Args:
        folder: the sweep's.
        console: prints; None for the standard output.
    """

    def __init__(self, folder: Path, console: Console | None = None) -> None:
        self._folder = folder
        self._console = console or Console()
        self._began = time.time()
        self._ended: dict[str, str] = {}  # statuses by the run's name
        self._done_before = 0  # runs of earlier commands
        self._next_line = 0.0
        self._bar: Progress | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def start(self) -> None:
        """Count the runs that earlier commands have done, and begin to watch."""
        done = [name for name in self._runs() if EarlierAttempt.read(self._folder / name).is_done]
        self._ended = dict.fromkeys(done, "done before")
        self._done_before = len(done)
        self._thread.start()

    def stop(self) -> None:
        """Look a last time, and leave the line as it is."""
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(_SECONDS_BETWEEN_LOOKS):
            self._look()
        self._look()
        if self._bar is not None:
            self._bar.stop()

    def _look(self) -> None:
        running = 0
        for name in self._runs():
            if name in self._ended:
                continue
            if not self._is_new(name, "result.json"):
                running += self._is_new(name, os.path.join(".hydra", "config.yaml"))
                continue
            result = EarlierAttempt.read(self._folder / name).result
            if result:
                self._ended[name] = status = str(result["status"])
                if status != "completed":
                    self._print(f"{status}  {name}: {result['reason']}")
        if running or len(self._ended) > self._done_before:
            self._show(running)

    def _runs(self) -> list[str]:
        try:
            return sorted(entry.name for entry in os.scandir(self._folder) if entry.is_dir())
        except FileNotFoundError:
            return []

    def _is_new(self, name: str, file: str) -> bool:
        """Whether a run's file was written since this command began."""
        try:
            return (self._folder / name / file).stat().st_mtime >= self._began
        except (FileNotFoundError, NotADirectoryError):
            return False

    def _print(self, text: str) -> None:
        console = self._bar.console if self._bar is not None else self._console
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _show(self, running: int) -> None:
        done, total = len(self._ended), _planned_runs(self._folder / "sweep.json")
        counts = Counter(self._ended.values())
        parts = [f"{running} running"] if running else []
        parts += [f"{counts[s]} {s}" for s in ("diverged", "failed", "interrupted") if counts[s]]
        done_now = done - self._done_before
        if done_now and total and done < total:
            seconds = (time.time() - self._began) / done_now * (total - done)
            parts.append(f"{timedelta(seconds=round(seconds))} left")
        if self._console.is_terminal:
            if self._bar is None:
                self._bar = Progress(
                    TextColumn("[bold]sweep"),
                    BarColumn(bar_width=None),
                    MofNCompleteColumn(),
                    TextColumn("{task.fields[status]}"),
                    console=self._console,
                    auto_refresh=False,
                )
                self._bar.add_task("sweep", total=None, status="")
                self._bar.start()
            status = " · ".join(["runs", *parts])
            self._bar.update(self._bar.task_ids[0], completed=done, total=total, status=status)
            self._bar.refresh()
        elif time.time() > self._next_line:
            self._print(" · ".join([f"{done}/{total or '?'} runs", *parts]))
            self._next_line = time.time() + _SECONDS_BETWEEN_LINES


def _planned_runs(plan: Path) -> int | None:
    """How many runs ``sweep.json`` lists; None where another sweeper has written none."""
    try:
        return _count_jobs(plan, plan.stat().st_mtime)
    except FileNotFoundError:
        return None


@functools.lru_cache(maxsize=1)
def _count_jobs(plan: Path, changed: float) -> int:
    return len(json.loads(plan.read_text("utf-8"))["jobs"])


def print_end(sweep: Sweep, report: Path | None, console: Console | None = None) -> None:
    """Print a table of the settings, why runs failed or were skipped, and what to type next.

    Args:
        sweep: read from its folder.
        report: its page; None where none was written.
        console: prints; None for the standard output.
    """
    console = console or Console()
    labels = _labels(sweep.runs)
    console.print(_table(sweep.runs, labels))
    unfinished = [run for run in sweep.runs if run.status not in ("completed", "diverged")]
    reasons = Counter((run.status, labels[run.run], run.reason) for run in unfinished)
    for (status, label, reason), count in list(reasons.items())[:_MOST_REASONS]:
        line = Text.assemble((status, _COLOURS[status]), f"  {label}, {count} of its runs")
        console.print(line.append(f": {reason}" if reason else ""), soft_wrap=True)
    if len(reasons) > _MOST_REASONS:
        console.print(f"and {len(reasons) - _MOST_REASONS} more, in results.csv")
    for entry in sweep.skipped:
        line = Text.assemble(("skipped", "dim"), f"  {' '.join(entry['overrides'])}")
        console.print(line.append(f": {entry['reason']}"), soft_wrap=True)
    counts = Counter(run.status for run in sweep.runs)
    summary = ", ".join(f"{counts[status]} {status}" for status in STATUSES if counts[status])
    console.print(f"\n{len(sweep.runs)} runs: {summary}", highlight=False)
    lines = [f"continue {_command(sweep)}"] if unfinished else []
    lines += [f"report   {shown_path(report)}"] if report else []
    lines += [f"runs     {_tensorboard(sweep.folder)}"]
    if report and len(sweep.runs) > _MOST_CURVES:
        lines += [f"medians  {_tensorboard(report.parent)}"]
    for text in lines:  # not folded by a narrow terminal, so that they can be pasted
        console.print(text, soft_wrap=True, highlight=False, markup=False)


def _labels(runs: Sequence[RunRow]) -> dict[str, str]:
    """The label of each run's setting by the run's name; begins with the task if they differ."""
    several = len({run.task for run in runs}) > 1
    labels = {}
    for run, setting in zip(runs, name_settings(runs), strict=True):
        stage = f" ({run.stage})" if run.stage != "compare" else ""
        labels[run.run] = (f"{run.task}: " if several else "") + setting.label + stage
    return labels


def _table(runs: Sequence[RunRow], labels: Mapping[str, str]) -> Table:
    settings: dict[str, list[RunRow]] = {}
    for run in runs:
        settings.setdefault(labels[run.run], []).append(run)
    statuses = [status for status in STATUSES if any(run.status == status for run in runs)]
    monitors = {run.monitor for run in runs}
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("setting", overflow="fold")
    table.add_column("runs", justify="right")
    for status in statuses:
        table.add_column(status, justify="right", style=_COLOURS[status])
    table.add_column(
        f"median {monitors.pop() if len(monitors) == 1 else 'objective'}", justify="right"
    )
    medians = {label: _median_loss(members) for label, members in settings.items()}
    ranked = sorted(
        settings,
        key=lambda label: (settings[label][0].task, medians[label] is None, medians[label] or 0.0),
    )
    for label in ranked[:_MOST_SETTINGS]:
        members, median = settings[label], medians[label]
        counts = Counter(run.status for run in members)
        numbers = [str(counts[status] or "") for status in statuses]
        if median is not None and members[0].mode == "max":
            median = abs(median)
        shown = "-" if median is None else f"{median:.4g}"
        table.add_row(label, str(len(members)), *numbers, shown)
    if len(ranked) > _MOST_SETTINGS:
        table.add_row(f"and {len(ranked) - _MOST_SETTINGS} more settings")
    return table


def _median_loss(runs: Sequence[RunRow]) -> float | None:
    """The median objective where smaller is better, a diverged run's infinite; None without any."""
    losses = []
    for run in runs:
        if run.status == "completed" and run.objective is not None:
            losses.append(-run.objective if run.mode == "max" else run.objective)
        elif run.status == "diverged":
            losses.append(float("inf"))
    return statistics.median(losses) if losses else None


def _tensorboard(folder: Path) -> str:
    return f"{tensorboard_command()} --logdir {shlex.quote(shown_path(folder))}"


def _command(sweep: Sweep) -> str:
    """The command that runs what is left, with the name that leads to the same folder."""
    command = sweep.commands[-1] if sweep.commands else "python train.py -m ..."
    return command if "name=" in command else f"{command} name={shlex.quote(sweep.folder.name)}"
