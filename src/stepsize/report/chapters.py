"""The chapters of a report: each task, performance profiles, and the runs themselves."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

from stepsize.report.answer import SweepAnswer, TaskAnswer
from stepsize.report.columns import (
    differences_table,
    grid_table,
    legend,
    other_metrics_table,
    settings_table,
    trouble_table,
)
from stepsize.report.curves import CurveReader
from stepsize.report.document import (
    Chapter,
    Figure,
    Folded,
    Part,
    Table,
    Text,
    bullets,
)
from stepsize.report.figures.differences import Differences
from stepsize.report.figures.learning import LearningCurves
from stepsize.report.figures.profile import profile_panel
from stepsize.report.figures.sensitivity import Sensitivity
from stepsize.report.labels import shown_number
from stepsize.report.line_styles import Look, ordered_looks
from stepsize.report.read import RunRow, Sweep
from stepsize.report.task import Entry, TaskComparison, lr_curves
from stepsize.report.wording import NOTHING, code, count, listed, number, seconds, steps
from stepsize.stats.profiles import MINIMUM_PROBLEMS, performance_profile

_MAX_ROWS = 20  # of a table that is not folded


class TaskChapters:
    """The chapters of one task: table, learning curves, learning rates, paired differences.

    Args:
        answer: the answer for the task.
        curves_of: reads its runs' curves.
        by_method: the looks of lines.
        wanted: the baseline that was asked for; None for the usual one.
    """

    def __init__(
        self,
        answer: TaskAnswer,
        curves_of: CurveReader,
        by_method: Mapping[str, Look],
        wanted: str | None,
    ) -> None:
        self.answer = answer
        self.comparison = comparison = answer.comparison
        self.wanted = wanted
        metric, value = comparison.target or (None, None)
        self.target = value if metric == comparison.measure.tag else None
        self.by_method = by_method
        self.learning = LearningCurves(comparison, curves_of, by_method, self.target)
        self.looks = {e.setting.label: self.learning.looks[e.setting] for e in comparison.entries}
        self.slug = re.sub(r"[^\w.-]+", "_", comparison.task)

    def chapters(self) -> Iterator[Chapter]:
        yield Chapter(f"Task {self.comparison.task}", [self.answer.conclusion, *self._curves()])
        for title, parts in (
            ("Final values", self._table()),
            ("Other metrics", self._other_metrics()),
            ("Single seeds", self._seeds()),
            ("Learning rates", self._lrs()),
            ("Paired differences", self._differences()),
        ):
            shown = list(parts)
            if shown:
                yield Chapter(title, shown, 3)

    def _table(self) -> Iterator[Part]:
        comparison = self.comparison
        yield Text(self.answer.ranked_by, True)
        main, rest = self._rows()
        yield settings_table(comparison, main, self.looks)
        whole = len(comparison.entries)
        if rest:
            title = f"All {whole} settings" if len(rest) == whole else f"{len(rest)} more"
            yield Folded(title, [settings_table(comparison, rest, self.looks)])
        if len(rest) == whole:
            yield Text(f"Each method at the best of its settings, {whole} in all.", True)
        yield Text(legend(comparison), True)

    def _rows(self) -> tuple[Sequence[Entry], Sequence[Entry]]:
        """The rows of tables, and those of a folded one: the other rows, or all."""
        entries, leaders = self.comparison.entries, self.comparison.leaders
        if len(entries) > _MAX_ROWS and len(leaders) < len(entries):
            return leaders[:_MAX_ROWS], entries
        return entries[:_MAX_ROWS], entries[_MAX_ROWS:]

    def _other_metrics(self) -> Iterator[Part]:
        table = other_metrics_table(self.comparison, self._rows()[0], self.looks)
        if table is not None:
            yield Text("The median of the final value over seeds.", True)
            yield table

    def _curves(self) -> Iterator[Part]:
        learning = self.learning
        if not learning.leaders:
            return
        what = f"{self.comparison.measure.tag} against optimizer steps on {self.comparison.task}"
        wide, narrow = learning.overview(wide=True), learning.overview(wide=False)
        yield Figure(f"curves-{self.slug}", f"{what}, one line per setting", wide, narrow)
        notes = [
            "Thin lines are single seeds, bold lines are medians over seeds."
            if learning.seeds_in_overview
            else "Lines are medians over seeds."
        ]
        if any(entry.count("diverged") for entry in learning.leaders):
            notes.append("A cross marks where a run, or half of the seeds, diverged.")
        if learning.hidden:
            notes.append(f"The {learning.hidden} worst settings are grey.")
        if self.target is not None and learning.target is None:
            notes.append(
                f"The target, {shown_number(str(self.target))}, is far outside of the figure."
            )
        lost = sum(not run.finished for entry in self.comparison.entries for run in entry.runs)
        if lost:
            notes.append(f"Not drawn: {count(lost, 'run')} that failed or did not end.")
        yield Text(" ".join(notes), True)

    def _seeds(self) -> Iterator[Part]:
        learning = self.learning
        if not learning.leaders or learning.seeds_in_overview:
            return
        tag, task = self.comparison.measure.tag, self.comparison.task
        alt = f"{tag} against optimizer steps on {task}, one panel per setting with all seeds"
        yield Figure(f"curves-{self.slug}-each", alt, panels=learning.panels())
        yield Text(
            "One panel per setting: single seeds are thin, the median is bold, the medians of the "
            "other settings are grey.",
            True,
        )

    def _lrs(self) -> Iterator[Part]:
        curves = lr_curves(self.comparison.tuning)
        if not curves:
            return
        measure = self.comparison.measure
        drawing = Sensitivity(curves, measure, self.by_method)
        alt = f"final {measure.tag} against the learning rate on {self.comparison.task}"
        name = f"learning-rate-{self.slug}"
        if drawing.in_one:
            yield Figure(name, alt, drawing.overview(wide=True), drawing.overview(wide=False))
        else:
            yield Figure(name, alt, panels=drawing.panels())
        stage = " that selected the settings" if self.comparison.two_stages else ""
        others = (
            " If other hyperparameters varied too, a learning rate is shown at their best values."
            if any(curve.others for curve in curves)
            else ""
        )
        yield Text(
            f"Lines are medians over the seeds{stage}, dots single seeds. A ring marks the best "
            f"learning rate, a cross at the edge one at which runs diverged.{others}",
            True,
        )

    def _differences(self) -> Iterator[Part]:
        comparison, baseline = self.comparison, self.answer.baseline
        if baseline is None:
            if self.wanted is not None and len(comparison.known) > 1:
                yield Text(f"The baseline `{self.wanted}` has no runs on this task.", True)
            return
        differences = self.answer.differences
        if all(difference.pair.n < 2 for difference in differences):
            yield Text("With one common seed there are no intervals and no tests.", True)
            return
        name, tag = baseline.setting.label, comparison.measure.tag
        yield Text(self.answer.pairing)
        rows = [(d.setting, self.looks[d.setting], d.pair, d.significant) for d in differences]
        drawing = Differences(rows, name, tag)
        if drawing.there_are_any and comparison.seed_matters:
            alt = f"{tag} relative to {name} on {comparison.task}, with 95% intervals"
            wide, narrow = drawing.figure(wide=True), drawing.figure(wide=False)
            yield Figure(f"differences-{self.slug}", alt, wide, narrow)
            yield Text(
                "Lines are 95% intervals, each for one comparison. A full mark is a difference "
                "that is significant at 5% after the adjustment for the number of comparisons.",
                True,
            )
        yield differences_table(self.answer, self.looks)
        if comparison.seed_matters:
            yield Text(self.answer.test, True)
        notes = [f"`{d.setting}`: {d.pair.note}." for d in differences if d.pair.note]
        if notes:
            yield Folded(f"Notes on {count(len(notes), 'comparison')}", [Text(bullets(notes))])


def profile_parts(
    comparisons: Sequence[TaskComparison], by_method: Mapping[str, Look]
) -> Iterator[Part]:
    """The performance profile of all tasks; nothing for too few tasks or methods."""
    entries = [(c.task, entry) for c in comparisons for entry in c.leaders]
    one_method = len({entry.setting.method for _, entry in entries}) == 1
    costs: dict[str, dict[str, float]] = {}
    for task, entry in entries:
        cost = entry.median_target_steps
        if cost is not None:
            solver = entry.setting.label if one_method else entry.setting.method
            costs.setdefault(solver, {})[task] = max(cost, 1.0)
    tasks = {task for row in costs.values() for task in row}
    whole = {solver: row for solver, row in costs.items() if len(row) == len(tasks)}
    if len(tasks) < MINIMUM_PROBLEMS or len(whole) < 2:
        return
    profile = performance_profile(whole)
    looks = by_method
    if one_method:
        looks = dict(zip(whole, ordered_looks(len(whole)), strict=True))
    solving = [solver for solver in profile.solvers if profile.shares[solver][-1] > 0]
    each = "a setting" if one_method else "a method at its best setting"
    yield Text(
        f"The share of the {len(tasks)} tasks on which {each} meets the target within a multiple "
        "of the steps of the fastest (median over seeds; Dolan and Moré, 2002)."
    )
    if solving:
        wide, narrow = (profile_panel(profile, solving, looks, wide) for wide in (True, False))
        alt = "share of tasks solved against the multiple of the fastest"
        yield Figure("profiles", alt, wide, narrow)
    never = [solver for solver in profile.solvers if solver not in solving]
    if never:
        yield Text(f"Met no target on any task: {listed(code(never), maximum=20)}.", True)
    incomplete = sorted(set(costs) - set(whole))
    if incomplete:
        yield Text(f"Skipped, without a result on some task: {listed(code(incomplete))}.", True)
    yield Text(
        "The left end is the share of tasks on which a line is the fastest, the right end the "
        "share on which it meets the target at all. The profile shows the best at each multiple; "
        "it does not rank the others.",
        True,
    )


def run_parts(answer: SweepAnswer, out: Path) -> Iterator[Part]:
    """The grid, all runs with links, runs that did not complete, skipped ones, commands, versions.

    Args:
        answer: the answer of sweeps.
        out: folder of the report, from which links start.
    """
    sweeps, rows = answer.sweeps, answer.rows
    yield grid_table(rows)
    links = {_name(run, sweeps): _link(run, out) for run in rows}
    statuses = Counter(run.status for run in rows)
    others = [f"{amount} {s}" for s, amount in statuses.most_common() if s != "completed"]
    if others:
        table, more = trouble_table(sweeps)
        table = replace(table, links=[links[row[0]] for row in table.rows])
        rest = [Text(f"{more} more are in `results.csv`.", True)] if more else []
        yield Folded(f"{count(len(rows), 'run')}, of which {listed(others)}", [table, *rest])
    else:
        yield Text(f"All {count(len(rows), 'run')} completed.")
    table = _runs_table(answer, [_name(run, sweeps) for run in rows])
    table = replace(table, links=[links[row[0]] for row in table.rows])
    yield Folded(f"The folder of each run ({len(rows)})", [table], only_on_screen=True)
    skipped = [job for sweep in sweeps for job in sweep.skipped]
    if skipped:
        lines = [f"`{' '.join(job['overrides'])}`: {job['reason']}" for job in skipped]
        yield Text(f"Skipped, because the combination cannot run:\n\n{bullets(lines)}")
    commands = [command for sweep in sweeps for command in sweep.commands]
    if commands:
        yield Text("\n".join(["To repeat it:\n", "```bash", *commands, "```"]))
    recorded = [*(sweep.versions for sweep in sweeps), *(run.versions for run in rows)]
    versions = {tuple(sorted(each.items())) for each in recorded if each}
    several = f"**The runs have {len(versions)} different sets of versions:**"
    lines = [", ".join(" ".join(pair) for pair in each) for each in sorted(versions)]
    yield Text(f"{several if len(versions) > 1 else 'Versions:'}\n\n{bullets(lines)}")


def _name(run: RunRow, sweeps: Sequence[Sweep]) -> str:
    return f"{run.sweep}/{run.run}" if len(sweeps) > 1 else run.run


def _link(run: RunRow, out: Path) -> str | None:
    """The address of a run's folder, relative to the report; None without a folder."""
    if not run.folder.is_dir():
        return None
    return quote(f"{Path(os.path.relpath(run.folder, out)).as_posix()}/")


def _runs_table(answer: SweepAnswer, names: Sequence[str]) -> Table:
    measures = {task.task: task.measure for task in answer.tasks}
    cells = [
        [
            name,
            run.status,
            str(NOTHING if run.seed is None else run.seed),
            steps(run.steps),
            number(measures[run.task].of(run, "final")),
            steps(run.target_steps),
            seconds(run.seconds),
        ]
        for run, name in zip(answer.rows, names, strict=True)
    ]
    tags = {measure.tag for measure in measures.values()}
    final = f"final\n{tags.pop()}" if len(tags) == 1 else "final\nvalue"
    return Table(
        ["run", "status", "seed", "steps", final, "steps to\ntarget", "time"], cells, "llrrrrr"
    )
