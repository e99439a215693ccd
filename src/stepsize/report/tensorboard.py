"""TensorBoard runs of a report: one line for each setting, in the report's colours.

TensorBoard (2.21) opens the first two groups of tags, a group being a tag up to its first slash, in
alphabetical order. Therefore the curves that the report judges have tags under ``compare/``, which
come before those of single runs: ``--logdir`` of the report, of the sweep or of all outputs opens
on them. A run has the colour of its place in the order of first events, modulo 7; the places of
:data:`PLACES` are those of the report's colours.
"""

from __future__ import annotations

import hashlib
import math
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from stepsize.config.schema import larger_is_better
from stepsize.loggers.event_file import (
    first_event_time,
    layout_summary,
    remove_run,
    text_summary,
    write_event_file,
)
from stepsize.plots.style import BLUE, GREEN, INK, ORANGE, PURPLE, SKY, VERMILION
from stepsize.report.answer import SweepAnswer, TaskAnswer
from stepsize.report.columns import short_table
from stepsize.report.curves import Curve, CurveReader, Curves, on_grid, worst
from stepsize.report.document import bullets, markdown_table
from stepsize.report.labels import shown_number
from stepsize.report.line_styles import Look
from stepsize.report.read import RunRow
from stepsize.report.task import Entry
from stepsize.stats.intervals import quantiles

# TensorBoard's palette: slate, cyan, pink, yellow, purple, light green, orange.
PLACES = (INK, SKY, PURPLE, ORANGE, BLUE, GREEN, VERMILION)
MOST_COMPARED = 5  # settings: with the answer and the target, as many runs as there are colours
ANSWER = "answer"

_UNSAFE = re.compile(r"[^\w.,=+()\[\]@ -]+", re.ASCII)
_LONGEST = 200  # bytes; file systems take 255
# Neither small nor large is better, so a diverged run has no worst value of them.
_NEUTRAL = ("lr/", "grad_norm/", "update_ratio/")
_OPPOSITE = {"best": "worst", "worst": "best"}
_LOG10_GAP = "train/log10_gap"  # written anew, of the median
_MINUTE = 60.0


@dataclass
class BoardRun:
    """A TensorBoard run of the report.

    Attributes:
        colour: of the report's line; None for a run that has none.
        seconds: median duration of the setting's runs, for the axis of relative time.
        steps: of its longest run.
        curves: by tag.
    """

    colour: str | None = None
    seconds: float = 0.0
    steps: int = 1
    curves: Curves = field(default_factory=dict)


@dataclass(frozen=True)
class Band:
    """The median and the quartiles over runs: steps [n], values [n], without missing values."""

    steps: np.ndarray
    low: np.ndarray
    middle: np.ndarray
    high: np.ndarray

    @property
    def median(self) -> Curve:
        """The median as far as it is finite."""
        finite = np.isfinite(self.middle)
        return self.steps[finite], self.middle[finite]


def write_board(
    answer: SweepAnswer, out: Path, curves_of: CurveReader, looks: Mapping[str, Mapping[str, Look]]
) -> None:
    """Write a TensorBoard run of each setting of the report, and one of its text.

    Tags of the best settings: ``compare/<task> <tag>`` of the judged metric, its log10 where it is
    positive (of a gap the log10 only) and the validation loss; ``more/<task> <tag>`` of all others,
    and of the judged metric of settings that are not among the best. The tags ``with bands/...``
    hold the quartiles for the CUSTOM SCALARS tab. Runs of the tuning stage are not shown. Runs of
    an earlier report are removed.

    Args:
        answer: of the sweeps.
        out: the report's folder.
        curves_of: reads a run's curves.
        looks: of each task's settings, by label.
    """
    for old in [folder for folder in out.iterdir() if folder.is_dir()] if out.is_dir() else []:
        remove_run(old)
    runs: dict[str, BoardRun] = {}
    fillers: dict[str, BoardRun] = {ANSWER: BoardRun()}
    spare: dict[str, BoardRun] = {}
    banded: dict[str, list[str]] = {}
    for task in answer.tasks:
        several = len(answer.tasks) > 1
        for rank, entry in enumerate(_ordered(task)):
            members = [run for run in entry.runs if run.finished]
            if not members:
                continue
            name = entry.setting.label if not several else f"{task.task} {entry.setting.label}"
            run = BoardRun(seconds=_or_0(entry.seconds), steps=max(entry.steps, 1))
            bands = medians(members, curves_of)
            if rank < MOST_COMPARED:
                look = looks.get(task.task, {}).get(entry.setting.label)
                run.colour = look.colour if look else None
                run.curves = _compared(task, bands) | _with_bands(task.task, bands, banded)
                spare |= _single_seeds(task, entry, name, curves_of)
            else:
                run.curves = _judged(task, bands, "more")
            runs[name] = run
        fillers |= _targets(task, [run for run in runs.values() if run.curves], several)
    places = _placed(runs, fillers, spare)
    began = [t for row in answer.rows if (t := first_event_time(row.folder)) is not None]
    start = min(began, default=time.time()) - _MINUTE
    text = text_summary(ANSWER, answer_text(answer))
    layout = layout_summary({"median over seeds, from lower to upper quartile": banded})
    for place, (name, run) in enumerate(places):
        write_event_file(
            out / _file_name(name),
            run.curves,
            start=start + place,
            seconds_per_step=run.seconds / run.steps,
            summaries=[text, layout] if name == ANSWER else [],
        )


def answer_text(answer: SweepAnswer) -> str:
    """The answer as Markdown: headline, sentences, caveats and the table of each task."""
    blocks = [f"# {answer.title}", ", ".join(answer.facts)]
    for task in answer.tasks:
        found = task.conclusion
        blocks += [f"## {task.task}: {found.headline}", " ".join(found.sentences)]
        blocks += [found.fastest] if found.fastest else []
        blocks += [markdown_table(short_table(task)), task.ranked_by]
        blocks += [bullets(found.caveats)] if found.caveats else []
    return "\n\n".join(block for block in blocks if block)


def medians(runs: Sequence[RunRow], curves_of: CurveReader) -> dict[str, Band]:
    """The median and the quartiles over runs, by tag.

    Args:
        runs: runs of one hyperparameter setting that completed or diverged, one per seed.
        curves_of: reads a run's curves.

    Returns:
        Bands over all runs, in which a diverged run is infinitely bad from its divergence on;
        learning rates and norms skip diverged runs.
    """
    found = {}
    for tag in dict.fromkeys(tag for run in runs for tag in curves_of(run)):
        larger = larger_is_better(tag, runs[0].monitor, runs[0].mode)
        mode = "max" if larger else "min"
        having = [run for run in runs if tag in curves_of(run)]
        if tag.startswith(_NEUTRAL):
            counted = having = [run for run in having if run.status != "diverged"]
        else:
            counted = [run for run in runs if run in having or run.status == "diverged"]
        if not counted:
            continue
        grid = np.unique(np.concatenate([curves_of(run)[tag][0] for run in having]))
        values = np.stack([_values(run, curves_of(run), tag, grid, mode) for run in counted])
        known = ~np.isnan(values).any(axis=0)
        found[tag] = Band(grid[known], *quantiles(values[:, known], (0.25, 0.5, 0.75)))
    return {tag: band for tag, band in found.items() if len(band.median[0])}


def _ordered(task: TaskAnswer) -> list[Entry]:
    """The best setting of each method, best first, then all other settings."""
    leaders = list(task.comparison.leaders)
    return leaders + [entry for entry in task.comparison.entries if entry not in leaders]


def _compared(task: TaskAnswer, bands: Mapping[str, Band]) -> Curves:
    found = _judged(task, bands, "compare")
    judged = task.measure.tag
    for tag, band in bands.items():
        if tag in (judged, _LOG10_GAP):
            continue
        group = "compare" if tag == "val/loss" else "more"
        curve = band.median
        if tag == "val/loss" and judged in bands:
            # Smoothing depends on the number of points: with as many as the judged metric has, it
            # does not change the order of lines.
            curve = _held(curve, bands[judged].median[0])
        found[f"{group}/{task.task} {tag}"] = curve
    return found


def _judged(task: TaskAnswer, bands: Mapping[str, Band], group: str) -> Curves:
    measure = task.measure
    if measure.tag not in bands:
        return {}
    steps, values = bands[measure.tag].median
    values = measure.above_floor(values)
    name = f"{group}/{task.task} {measure.tag}"
    found = {} if measure.is_gap else {name: (steps, values)}
    if measure.mode == "min" and (values > 0).all():
        found[f"{name} log10"] = (steps, np.log10(values))
    return found


def _with_bands(task: str, bands: Mapping[str, Band], banded: dict[str, list[str]]) -> Curves:
    """The quartiles as far as they are finite; TensorBoard needs all three at the same steps."""
    found: Curves = {}
    for tag in sorted(bands, key=lambda tag: tag.startswith(_NEUTRAL)):
        if tag.startswith("lr/") or tag == _LOG10_GAP:
            continue
        band, title = bands[tag], f"{task} {tag}"
        whole = np.isfinite(band.low) & np.isfinite(band.middle) & np.isfinite(band.high)
        names = [f"with bands/{title} {quartile}" for quartile in ("q50", "q25", "q75")]
        values = (band.middle, band.low, band.high)
        found |= {n: (band.steps[whole], v[whole]) for n, v in zip(names, values, strict=True)}
        banded[title] = names
    return found


def _held(curve: Curve, grid: np.ndarray) -> Curve:
    """The latest value of a curve at each step of a grid, from its first step on."""
    steps, values = curve
    known = grid[grid >= steps[0]]
    return known, values[np.searchsorted(steps, known, side="right") - 1]


def _targets(task: TaskAnswer, runs: Sequence[BoardRun], several: bool) -> dict[str, BoardRun]:
    """The target of a task as a horizontal line; none where its runs have several."""
    measure = task.measure
    if task.comparison.target is None or not runs:
        return {}
    metric, value = task.comparison.target
    group = "compare" if metric in (measure.tag, "val/loss") else "more"
    ends = np.array([0, max(run.steps for run in runs)])
    name = f"{group}/{task.task} {metric}"
    line = BoardRun()
    if not (metric == measure.tag and measure.is_gap):
        line.curves[name] = (ends, np.full(2, value))
    if metric == measure.tag and measure.mode == "min" and value > 0:
        line.curves[f"{name} log10"] = (ends, np.full(2, math.log10(value)))
    shown = f"target {shown_number(str(value))}"
    return {f"{task.task} {shown}" if several else shown: line}


def _single_seeds(
    task: TaskAnswer, entry: Entry, name: str, curves_of: CurveReader
) -> dict[str, BoardRun]:
    """The worst and the best seed of a setting."""
    if entry.n < 2:
        return {}
    ranked = sorted(entry.finals, key=entry.finals.__getitem__)
    found = {}
    for which, seed in (("best", ranked[0]), ("worst", ranked[-1])):
        member = next(run for run in entry.runs if run.seed == seed and run.finished)
        curves = _judged(task, medians([member], curves_of), "more")
        run = BoardRun(None, member.seconds or 0.0, max(member.steps, 1), curves)
        found[f"{name} {which if task.measure.mode == 'min' else _OPPOSITE[which]} seed"] = run
    return found


def _placed(
    runs: Mapping[str, BoardRun], fillers: Mapping[str, BoardRun], spare: Mapping[str, BoardRun]
) -> Iterator[tuple[str, BoardRun]]:
    """All runs in the order of their first events: those with a colour at its place.

    Where the report's colour is taken or no colour of TensorBoard's, a run gets the nearest free
    one. Free places before the last coloured run are filled, because only the order counts.

    Args:
        runs: of the settings.
        fillers: other runs, which are shown in any case.
        spare: runs that are shown only to fill a place; the worst and best seeds.
    """
    order: list[tuple[str, BoardRun] | None] = [None] * len(PLACES)
    for name, run in runs.items():
        free = [place for place, taken in enumerate(order) if taken is None]
        if run.colour is not None and free:
            nearest = min(free, key=lambda place: _distance(run.colour or "", PLACES[place]))
            order[nearest] = (name, run)
    first = {entry[0] for entry in order if entry}
    others = [*fillers.items(), *((n, run) for n, run in runs.items() if n not in first)]
    last = max((place for place, entry in enumerate(order) if entry), default=-1)
    worst_first = sorted(spare.items(), key=lambda item: not item[0].endswith("worst seed"))
    fill = [*others, *worst_first]
    for place in range(last + 1):
        if order[place] is None and fill:
            order[place] = fill.pop(0)
            others = others[1:]
    yield from (entry for entry in order if entry)
    yield from others


def _distance(first: str, second: str) -> float:
    """How far two colours ``#rrggbb`` are apart."""
    return math.dist(*(tuple(bytes.fromhex(colour[1:])) for colour in (first, second)))


def _values(run: RunRow, curves: Curves, tag: str, grid: np.ndarray, mode: str) -> np.ndarray:
    """A run's values at the steps of ``grid``; NaN before its first value."""
    if tag in curves:
        return on_grid(run, curves, tag, grid, mode)
    return np.where(grid >= run.steps, worst(mode), np.nan)  # it diverged before its first value


def _or_0(value: float) -> float:
    return 0.0 if math.isnan(value) else value


def _file_name(name: str) -> str:
    """A valid file name; a changed or shortened name ends with a digest of the original."""
    safe = _UNSAFE.sub("_", name)
    if safe == name and len(safe) <= _LONGEST:
        return safe
    return f"{safe[: _LONGEST - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
