"""A whole sweep on one line: runs done, running, diverged and failed, and the time left."""

from __future__ import annotations

import json
import os
import shlex
import statistics
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from stepsize.report.labels import name_settings
from stepsize.report.read import STATUSES, RunRow, Sweep
from stepsize.run.console import shown_path, tensorboard_command
from stepsize.run.folder import Earlier

_SECONDS_BETWEEN_LOOKS = 0.5
_SECONDS_BETWEEN_LINES = 10.0


class SweepProgress:
    """Watches a sweep's folder, whoever runs the jobs: this process, others, other machines.

    On a terminal the line renews itself; elsewhere there is one every ten seconds while something
    happens. A run that failed or diverged is told when it ends.

    Args:
        folder: the sweep's.
        console: where to.
    """

    def __init__(self, folder: Path, console: Console | None = None) -> None:
        self._folder = folder
        self._console = console or Console()
        self._began = time.time()
        self._ended: dict[str, str] = {}
        self._before = 0  # done by earlier commands
        self._stop = threading.Event()
        self._bar: Progress | None = None
        self._next_line = 0.0
        self._total = (0.0, 0)  # of which version of sweep.json
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def start(self) -> None:
        for name in self._runs():
            if Earlier.look(self._folder / name).is_done:
                self._ended[name] = "before"
        self._before = len(self._ended)
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
            if not self._is_of_now(name, "result.json"):
                running += self._is_of_now(name, os.path.join(".hydra", "config.yaml"))
                continue
            result = Earlier.look(self._folder / name).result
            if result:
                self._ended[name] = status = str(result["status"])
                if status != "completed":
                    self._say(f"{status}  {name}: {result['reason']}")
        if running or len(self._ended) > self._before:
            self._show(running)

    def _runs(self) -> list[str]:
        try:
            return sorted(entry.name for entry in os.scandir(self._folder) if entry.is_dir())
        except FileNotFoundError:
            return []

    def _is_of_now(self, name: str, file: str) -> bool:
        try:
            return (self._folder / name / file).stat().st_mtime >= self._began
        except (FileNotFoundError, NotADirectoryError):
            return False

    def _say(self, text: str) -> None:
        console = self._bar.console if self._bar is not None else self._console
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _show(self, running: int) -> None:
        done, total = len(self._ended), self._planned()
        counts = Counter(self._ended.values())
        words = [f"{running} running"] if running else []
        words += [f"{counts[s]} {s}" for s in ("diverged", "failed", "interrupted") if counts[s]]
        now = done - self._before
        if now and total and done < total:
            words.append(f"{_clock((time.time() - self._began) / now * (total - done))} left")
        if self._console.is_terminal:
            if self._bar is None:
                self._bar = Progress(
                    TextColumn("[bold]sweep"),
                    BarColumn(bar_width=None),
                    MofNCompleteColumn(),
                    TextColumn("{task.fields[words]}"),
                    console=self._console,
                    auto_refresh=False,
                )
                self._bar.add_task("sweep", total=None, words="")
                self._bar.start()
            shown = " · ".join(["runs", *words])
            self._bar.update(self._bar.task_ids[0], completed=done, total=total, words=shown)
            self._bar.refresh()
        elif time.time() > self._next_line:
            self._say(" · ".join([f"{done}/{total or '?'} runs", *words]))
            self._next_line = time.time() + _SECONDS_BETWEEN_LINES

    def _planned(self) -> int | None:
        """How many runs the sweep is to have; None where no plan says so."""
        file = self._folder / "sweep.json"
        try:
            changed = file.stat().st_mtime
        except FileNotFoundError:
            return None
        if changed != self._total[0]:
            self._total = (changed, len(json.loads(file.read_text("utf-8"))["jobs"]))
        return self._total[1]


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


COLOURS = {
    "completed": "green",
    "diverged": "red",
    "failed": "bold red",
    "interrupted": "yellow",
    "missing": "dim",
}
_MOST_SETTINGS = 40
_MOST_TROUBLES = 12
_SHOWN_AT_ONCE = 40  # runs; of more, TensorBoard selects none to begin with


def print_end(sweep: Sweep, report: Path | None, console: Console | None = None) -> None:
    """Print what became of every run, where the report lies, and how to look or to go on.

    Args:
        sweep: as it lies on disk.
        report: the page; None where the sweep was cut off before it.
        console: where to.
    """
    console = console or Console()
    labels = _labels(sweep.runs)
    console.print(_settings(sweep.runs, labels))
    troubles = [run for run in sweep.runs if run.status not in ("completed", "diverged")]
    told = Counter((run.status, labels[run.run], run.reason) for run in troubles)
    for (status, setting, reason), count in list(told.items())[:_MOST_TROUBLES]:
        trouble = Text.assemble((status, COLOURS[status]), f"  {setting}, {count} of its runs")
        console.print(trouble.append(f": {reason}" if reason else ""), soft_wrap=True)
    if len(told) > _MOST_TROUBLES:
        console.print(f"and {len(told) - _MOST_TROUBLES} more, in results.csv")
    for words in sweep.left_out:
        left_out = Text.assemble(("left out", "dim"), f"  {' '.join(words['overrides'])}")
        console.print(left_out.append(f": {words['reason']}"), soft_wrap=True)
    counts = Counter(run.status for run in sweep.runs)
    summed = ", ".join(f"{counts[status]} {status}" for status in STATUSES if counts[status])
    console.print(f"\n{len(sweep.runs)} runs: {summed}", highlight=False)
    # Printed plainly, so that a narrow terminal does not fold what is to be pasted.
    lines = [f"again   {_again(sweep)}"] if troubles else []
    lines += [f"report  {shown_path(report)}"] if report else []
    lines += [f"look    {_tensorboard(sweep.folder)}"]
    if report and len(sweep.runs) > _SHOWN_AT_ONCE:
        lines += [f"medians {_tensorboard(report.parent)}"]
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def _settings(runs: list[RunRow], labels: Mapping[str, str]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    grouped: dict[str, list[RunRow]] = {}
    for run in runs:
        grouped.setdefault(labels[run.run], []).append(run)
    shown = [status for status in STATUSES if any(run.status == status for run in runs)]
    monitors = sorted({run.monitor for run in runs})
    table.add_column("setting", overflow="fold")
    table.add_column("runs", justify="right")
    for status in shown:
        table.add_column(status, justify="right", style=COLOURS[status])
    table.add_column(
        f"median {monitors[0] if len(monitors) == 1 else 'objective'}", justify="right"
    )
    ranked = sorted(grouped.items(), key=lambda entry: _rank(entry[1]))
    for setting, members in ranked[:_MOST_SETTINGS]:
        counts = Counter(run.status for run in members)
        numbers = [str(counts[status]) if counts[status] else "" for status in shown]
        table.add_row(setting, str(len(members)), *numbers, _median(members))
    if len(ranked) > _MOST_SETTINGS:
        table.add_row(f"and {len(ranked) - _MOST_SETTINGS} more settings")
    return table


def _labels(runs: Sequence[RunRow]) -> dict[str, str]:
    """The setting of each run by its name, after its task where there are several."""
    several = len({run.task for run in runs}) > 1
    labels = {}
    for run, setting in zip(runs, name_settings(runs), strict=True):
        stage = f" ({run.stage})" if run.stage != "compare" else ""
        labels[run.run] = (f"{run.task}: " if several else "") + setting.label + stage
    return labels


def _median(runs: list[RunRow]) -> str:
    values = _values(runs)
    if not values:
        return "-"
    median = statistics.median(values)
    return f"{abs(median) if runs[0].mode == 'max' else median:.4g}"


def _rank(runs: list[RunRow]) -> tuple[str, bool, float]:
    values = _values(runs)
    return runs[0].task, not values, statistics.median(values) if values else 0.0


def _values(runs: list[RunRow]) -> list[float]:
    """Losses of the runs that ended; a diverged one is infinite."""
    values = []
    for run in runs:
        if run.status == "completed" and run.objective is not None:
            values.append(-run.objective if run.mode == "max" else run.objective)
        elif run.status == "diverged":
            values.append(float("inf"))
    return values


def _tensorboard(folder: Path) -> str:
    return f"{tensorboard_command()} --logdir {shlex.quote(shown_path(folder))}"


def _again(sweep: Sweep) -> str:
    """The command that does the rest, with the name that leads it to the same folder."""
    command = sweep.commands[-1] if sweep.commands else "python train.py -m ..."
    return command if "name=" in command else f"{command} name={shlex.quote(sweep.folder.name)}"
