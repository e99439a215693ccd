"""The table at a sweep's end, and what to type next."""

from __future__ import annotations

import shlex
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from stepsize.results.rows import STATUSES, RunRow, Sweep
from stepsize.results.settings import name_settings
from stepsize.summary import shown_path, tensorboard_command

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
