"""A sweep on the console: its progress on one line, and the answer at its end."""

from __future__ import annotations

import functools
import json
import os
import re
import shlex
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from stepsize.report.read import STATUSES, RunRow, Sweep
from stepsize.run.console import shown_path, tensorboard_command
from stepsize.run.folder import EarlierAttempt
from stepsize.run.links import MOST_RUNS, report_link, runs_link
from stepsize.sweeps.events import Event, Line, Working, listen

if TYPE_CHECKING:
    from stepsize.report.answer import SweepAnswer, TaskAnswer

_COLOURS = {
    "completed": "green",
    "diverged": "red",
    "failed": "bold red",
    "interrupted": "yellow",
    "missing": "dim",
}
_SECONDS_BETWEEN_LOOKS = 0.5
_SECONDS_BETWEEN_LINES = 10.0
_MOST_SETTINGS = 12  # rows of a table
_MOST_REASONS = 12  # lines below it
# An estimate needs some work and some time since the first step, which contains compiling.
_LEAST_SHARE, _LEAST_SECONDS = 0.02, 2.0


class SweepProgress:
    """Shows the phase of a sweep, how many of its runs are done, and the time left.

    It watches the sweep's folder, so that any launcher may run the jobs: in this process, in
    others, or on other machines; the vectorized launcher tells its phases too. On a terminal one
    line renews itself; elsewhere a line is printed when the phase changes and every ten seconds.
    Each setting with a failed run is printed once.

    Args:
        folder: the sweep's.
        console: prints; None for the standard output.
    """

    def __init__(self, folder: Path, console: Console | None = None) -> None:
        self._folder = folder
        self._console = console or Console()
        self._began = time.time()
        self._phase = "composing"
        self._working: dict[int, Working] = {}
        self._ended: dict[str, str] = {}  # statuses by the run's name
        self._done_before = 0  # runs of earlier commands
        self._printed: set[str] = set()  # settings with a failed run
        self._shown_phase, self._next_line = "", 0.0
        self._share = 0.0
        self._first: tuple[float, float] | None = None  # time and share of the first progress
        self._bar: Progress | None = None
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    @property
    def step(self) -> tuple[int, int] | None:
        """The step of vectorized runs and the step at which they end; None without any."""
        training = [w for w in self._working.values() if w.phase == "training"]
        return (training[0].step, training[0].steps) if training else None

    def start(self) -> None:
        """Count the runs that earlier commands have done, and begin to watch."""
        done = [name for name in self._runs() if EarlierAttempt.read(self._folder / name).is_done]
        self._ended = dict.fromkeys(done, "done before")
        self._done_before = len(done)
        self._show(0)
        listen(self._receive)
        self._thread.start()

    def report(self) -> None:
        """Show that the report is being written."""
        self._phase = "report"
        self._look()

    def stop(self) -> None:
        """Look a last time, and leave the line as it is."""
        listen(None)
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._phase != "report":
            self._next_line = 0.0 if self._runs() else self._next_line
            self._look()
        if self._bar is not None:
            self._bar.stop()

    def _receive(self, event: Event) -> None:
        if isinstance(event, Line):
            self._print(event.text)
        elif event.phase:
            self._working[event.process] = event
        else:
            self._working.pop(event.process, None)

    def _watch(self) -> None:
        while not self._stop.wait(_SECONDS_BETWEEN_LOOKS):
            self._look()

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
                if status == "failed":
                    self._print_failure(name, str(result.get("reason")))
        self._show(running)

    def _print_failure(self, name: str, reason: str) -> None:
        setting = re.sub(r"(^|,)seed=[^,]*", "", name)
        if setting not in self._printed:
            self._printed.add(setting)
            self._print(f"failed  {name}: {reason}")

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
        with self._lock:
            done, total = len(self._ended), _planned_runs(self._folder / "sweep.json")
            phase = self._present_phase(running, finished=done == total)
            left = self._estimate(done, total)
            counts = Counter(self._ended.values())
            problems = [
                f"{counts[s]} {s}" for s in ("diverged", "failed", "interrupted") if counts[s]
            ]
            shown = f"{done:>{len(str(total))}}/{total} runs" if total else ""
            if self._console.is_terminal:
                self._show_bar(phase, shown, left, problems, total)
            elif phase != self._shown_phase or time.time() > self._next_line:
                self._print(" · ".join(filter(None, [phase, shown.strip(), left, *problems])))
                self._shown_phase, self._next_line = phase, time.time() + _SECONDS_BETWEEN_LINES

    def _present_phase(self, running: int, finished: bool) -> str:
        if self._phase == "report":
            return self._phase
        phases = {working.phase for working in list(self._working.values())}
        known = [phase for phase in ("training", "compiling", "writing") if phase in phases]
        if known or running:
            self._phase = known[0] if known else "training"  # shown between two runs too
        return "writing" if finished and not known else self._phase

    def _show_bar(
        self, phase: str, shown: str, left: str, problems: list[str], total: int | None
    ) -> None:
        if self._bar is None:
            # All columns but the bar have a fixed width; the bar takes the rest of the line.
            self._bar = Progress(
                TextColumn("{task.fields[phase]:<9}", style="bold"),
                BarColumn(bar_width=None),
                TextColumn("{task.fields[shown]}"),
                TextColumn("{task.fields[left]:>12}", style="dim"),
                TextColumn("{task.fields[problems]}", style="red"),
                console=self._console, auto_refresh=False, expand=True,
            )  # fmt: skip
            self._bar.add_task("", total=None, phase=phase, shown=shown, left=left, problems="")
            self._bar.start()
        self._bar.update(
            self._bar.task_ids[0], total=1.0 if total else None,
            completed=1.0 if phase == "report" else self._share,
            phase=phase, shown=shown, left=left, problems=", ".join(problems),
        )  # fmt: skip
        self._bar.refresh()

    def _estimate(self, done: int, total: int | None) -> str:
        """The time left in words; "" as long as it cannot be known."""
        if not total:
            return ""
        active = [w for w in list(self._working.values()) if w.phase == "training" and w.steps]
        share = (done + sum(w.runs * w.step / w.steps for w in active)) / total
        self._share = min(1.0, max(self._share, share))
        before = self._done_before / total
        if self._first is None and self._share > before:
            self._first = time.time(), self._share
        if self._first is None or self._share >= 1:
            return ""
        seconds, gained = time.time() - self._first[0], self._share - self._first[1]
        if seconds < _LEAST_SECONDS or gained < _LEAST_SHARE:
            return ""
        return f"{timedelta(seconds=round(seconds / gained * (1 - self._share)))} left"


def _planned_runs(plan: Path) -> int | None:
    """How many runs ``sweep.json`` lists; None where another sweeper has written none."""
    try:
        return _count_jobs(plan, plan.stat().st_mtime)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


@functools.lru_cache(maxsize=1)
def _count_jobs(plan: Path, changed: float) -> int:
    return len(json.loads(plan.read_text("utf-8"))["jobs"])


def print_end(
    sweep: Sweep, answer: SweepAnswer, report: Path | None, console: Console | None = None
) -> None:
    """Print the answer, the last stage's table, what went wrong, and what to type next.

    Args:
        sweep: read from its folder.
        answer: of the sweep.
        report: its page; None where none was written.
        console: prints; None for the standard output.
    """
    console = console or Console()
    for line in answer.short:
        console.print(_styled(line), soft_wrap=False)
    for task in answer.tasks:
        console.print()
        console.print(_table(task, len(answer.tasks) > 1))
    for text in _problems(sweep, answer):
        console.print(text, soft_wrap=True)
    counts = Counter(run.status for run in sweep.runs)
    summary = ", ".join(f"{counts[status]} {status}" for status in STATUSES if counts[status])
    console.print(f"\n{len(sweep.runs)} runs: {summary}", highlight=False)
    for line in _next_lines(sweep, report):  # not folded, so that they can be pasted
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def print_interruption(
    sweep: Sweep, cause: str, step: tuple[int, int] | None, console: Console | None = None
) -> None:
    """Print how far an interrupted sweep has come, and the command that continues it.

    Args:
        sweep: read from its folder.
        cause: ``Ctrl-C``, ``SIGTERM`` or another reason.
        step: of vectorized runs, and the step at which they would have ended; None without any.
        console: prints; None for the standard output.
    """
    console = console or Console()
    counts = Counter(run.status for run in sweep.runs)
    done = counts["completed"] + counts["diverged"]
    stopped = {
        run.run: run.steps for run in sweep.runs if run.status == "interrupted" and run.steps
    }
    lost = "; the vectorized ones start again (they were at step {:,} of {:,})"
    at = lost.format(*step) if step else ""
    if stopped:
        at = f"; interrupted at step {max(stopped.values()):,}: {next(iter(stopped))}"
    for line in (
        f"interrupted by {cause}: {done} of {len(sweep.runs)} runs are done{at}",
        f"continue {_command(sweep)}",
    ):
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def _styled(markdown: str) -> Text:
    """A line of Markdown, with code in bold."""
    text = Text()
    for index, part in enumerate(markdown.split("`")):
        text.append(part, "bold" if index % 2 else "")
    return text


def _table(task: TaskAnswer, named: bool) -> Table:
    from stepsize.report.columns import short_table

    content = short_table(task)
    table = Table(
        box=None, padding=(0, 2, 0, 0), header_style="dim", title_justify="left",
        title=task.task if named else None, title_style="bold",
    )  # fmt: skip
    for title, side in zip(content.titles, content.align, strict=True):
        first = title == content.titles[0]
        table.add_column(
            title, justify="left" if side == "l" else "right", no_wrap=not first,
            overflow="fold", style=_COLOURS.get(title, "") if title != "completed" else "",
        )  # fmt: skip
    for index, row in enumerate(content.rows[:_MOST_SETTINGS]):
        table.add_row(*row, style="bold" if content.strong and not index else "")
    more = len(content.rows) - _MOST_SETTINGS
    if more > 0:
        table.add_row(f"{more} more in the report", style="dim")
    return table


def _problems(sweep: Sweep, answer: SweepAnswer) -> Iterator[Text]:
    """A line for each setting with runs that did not complete, and for each skipped combination."""
    labels = {r.folder: s.label for r, s in zip(answer.rows, answer.settings, strict=True)}
    several = len({run.task for run in sweep.runs}) > 1
    found: dict[tuple[str, str], list[RunRow]] = {}
    for run in sweep.runs:
        if run.status != "completed":
            name = labels.get(run.folder, run.run)
            name = f"{run.task}: {name}" if several else name
            found.setdefault((run.status, name), []).append(run)
    order = list(_COLOURS)
    lines = sorted(found.items(), key=lambda item: -order.index(item[0][0]))
    if lines or sweep.skipped:
        yield Text()
    for (status, name), runs in lines[:_MOST_REASONS]:
        text = Text.assemble((status, _COLOURS[status]), f"  {name}")
        text.append(f", {len(runs)} runs" if len(runs) > 1 else f" seed={runs[0].seed}")
        reasons = list(dict.fromkeys(run.reason for run in runs if run.reason))
        if reasons:
            first = " (the first reason)" if len(reasons) > 1 else ""
            text.append(f": {reasons[0]}{first}")
        yield text
    if len(lines) > _MOST_REASONS:
        yield Text(f"and {len(lines) - _MOST_REASONS} more settings, in results.csv")
    for entry in sweep.skipped:
        line = Text.assemble(("skipped", "dim"), f"  {' '.join(entry['overrides'])}")
        yield line.append(f": {entry['reason']}")


def _next_lines(sweep: Sweep, report: Path | None) -> Iterator[str]:
    unfinished = any(run.status not in ("completed", "diverged") for run in sweep.runs)
    if unfinished:
        yield f"continue     {_command(sweep)}"
    if report:
        yield f"report       {shown_path(report)}"
    with_events = [run for run in sweep.runs if list(run.folder.glob("events.out.tfevents*"))]
    if not with_events:
        return
    if report:
        yield f"TensorBoard  {_tensorboard(report.parent)}"
        yield f"             {shlex.quote(report_link())}"
    if len(with_events) <= MOST_RUNS:
        yield f"single runs  {_tensorboard(sweep.folder)}"
        yield f"             {shlex.quote(runs_link([run.run for run in with_events]))}"


def _tensorboard(folder: Path) -> str:
    return f"{tensorboard_command()} --logdir {shlex.quote(shown_path(folder))}"


def _command(sweep: Sweep) -> str:
    """The command that runs what is left, with the name that leads to the same folder."""
    command = sweep.commands[-1] if sweep.commands else "python train.py -m ..."
    named = any(word.startswith("name=") for word in shlex.split(command))
    return command if named else f"{command} name={shlex.quote(sweep.folder.name)}"
