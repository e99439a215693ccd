"""The chapters of one task: table, learning curves, learning rates, paired differences."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from stepsize.report.columns import (
    differences_table,
    grid_table,
    legend,
    other_metrics_table,
    settings_table,
    trouble_table,
)
from stepsize.report.curves import CurveReader
from stepsize.report.document import Chapter, Figure, Folded, Part, Text, bullets
from stepsize.report.figures.differences import Differences
from stepsize.report.figures.learning import LearningCurves
from stepsize.report.figures.profile import ProfileFigure
from stepsize.report.figures.sensitivity import Sensitivity
from stepsize.report.line_styles import Look, ordered_looks
from stepsize.report.read import Sweep
from stepsize.report.task import TaskComparison, choose_baseline, edge_sentence, rate_curves
from stepsize.report.wording import count, listed
from stepsize.stats.profiles import MINIMUM_PROBLEMS, performance_profile

_MOST_ROWS = 20  # of a table that is not folded


class TaskChapters:
    """What a report says of one task.

    Args:
        comparison: the task.
        curves_of: reads its runs' curves.
        by_method: the looks of lines.
        baseline: what differences are shown against; None for a usual one.
    """

    def __init__(
        self,
        comparison: TaskComparison,
        curves_of: CurveReader,
        by_method: Mapping[str, Look],
        baseline: str | None,
    ) -> None:
        self.comparison = comparison
        self.baseline = choose_baseline(comparison, baseline)
        self.wanted = baseline
        self.by_method = by_method
        self.learning = LearningCurves(comparison, curves_of, by_method)
        self.looks = {
            entry.setting.label: self.learning.look(entry) for entry in comparison.entries
        }
        self.slug = re.sub(r"[^\w.-]+", "_", comparison.task)

    def chapters(self) -> Iterator[Chapter]:
        yield Chapter(f"Task {self.comparison.task}", list(self._table()))
        if self.learning.there_are_any:
            yield Chapter("Learning curves", list(self._curves()), 3)
        rates = list(self._rates())
        if rates:
            yield Chapter("Learning rates", rates, 3)
        differences = list(self._differences())
        if differences:
            yield Chapter("Paired differences", differences, 3)

    def _table(self) -> Iterator[Part]:
        comparison, measure = self.comparison, self.comparison.measure
        what = f"the gap to the optimum, `{measure.tag}`" if measure.is_gap else f"`{measure.tag}`"
        better = "smaller" if measure.mode == "min" else "larger"
        unknown = "" if measure.is_gap else " The optimum of this task is not known."
        stage = " Runs on fresh seeds only." if comparison.two_stages else ""
        yield Text(
            f"Judged by {what} at the end of the run; {better} is better.{unknown}{stage}", True
        )
        entries, leaders = comparison.entries, comparison.leaders
        short = len(entries) > _MOST_ROWS and len(leaders) < len(entries)
        shown = leaders if short else entries
        main, rest = shown[:_MOST_ROWS], shown[_MOST_ROWS:]
        yield settings_table(comparison, main, self.looks)
        if short:
            yield Text(f"Each at the best of its settings, {len(entries)} in all.", True)
            rest = entries
        if rest:
            title = f"All {len(entries)} settings" if short else f"{len(rest)} more"
            yield Folded(title, [settings_table(comparison, rest, self.looks)])
        others = other_metrics_table(comparison, main, self.looks)
        if others is not None:
            yield Folded("Other metrics: final, median over seeds", [others])
        yield Text(legend(comparison), True)

    def _curves(self) -> Iterator[Part]:
        task, tag = self.comparison.task, self.comparison.measure.tag
        yield Figure(
            f"curves-{self.slug}",
            f"{tag} against optimizer steps on {task}, one line per setting",
            self.learning.overview(wide=True),
            self.learning.overview(wide=False),
        )
        notes = [
            "Thin lines are single seeds, bold ones their medians."
            if self.learning.seeds_in_overview
            else "Lines are medians over seeds."
        ]
        if any(entry.count("diverged") for entry in self.learning.leaders):
            notes.append("A cross marks where a run, or half of the seeds, diverged.")
        if self.learning.hidden:
            notes.append(f"The {self.learning.hidden} that end worst are grey.")
        lost = sum(not run.finished for entry in self.comparison.entries for run in entry.runs)
        if lost:
            notes.append(f"Not drawn: {count(lost, 'run')} that failed or did not end.")
        yield Text(" ".join(notes), True)
        if not self.learning.seeds_in_overview:
            yield Figure(
                f"curves-{self.slug}-each",
                f"{tag} against optimizer steps on {task}, one panel per setting with all seeds",
                panels=self.learning.panels(),
            )
            yield Text(
                "Each setting apart: its seeds thin, their median bold, the others' medians grey.",
                True,
            )

    def _rates(self) -> Iterator[Part]:
        curves = rate_curves(self.comparison.tuning)
        if not curves:
            return
        measure = self.comparison.measure
        drawing = Sensitivity(curves, measure, self.by_method)
        alt = f"final {measure.tag} against the learning rate on {self.comparison.task}"
        name = f"rates-{self.slug}"
        if drawing.in_one:
            yield Figure(name, alt, drawing.overview(wide=True), drawing.overview(wide=False))
        else:
            yield Figure(name, alt, panels=drawing.panels())
        stage = " from the seeds that chose the settings" if self.comparison.two_stages else ""
        others = (
            " Where something else varied too, a rate is shown with the best of it."
            if any(curve.others for curve in curves)
            else ""
        )
        yield Text(
            f"Medians over seeds{stage}; dots are seeds, a ring marks the best rate, and a cross "
            f"at the edge a rate at which runs diverged.{others}",
            True,
        )
        edge = edge_sentence(curves)
        if edge:
            yield Text(edge)

    def _differences(self) -> Iterator[Part]:
        comparison, baseline = self.comparison, self.baseline
        if baseline is None:
            if self.wanted is not None and len(comparison.known) > 1:
                yield Text(f"`{self.wanted}` has no runs on this task, so there are none.", True)
            return
        pairs = comparison.against(baseline)
        if all(pair.n < 2 for pair, _ in pairs.values()):
            yield Text(
                "With one seed in common nothing can be claimed and no interval can be given.", True
            )
            return
        name = baseline.setting.label
        tag = comparison.measure.tag
        yield Text(f"Each setting against `{name}` at the same seeds: same start, same batches.")
        rows = [
            (label, self.looks[label], pair, comparison.claims(pair, p))
            for label, (pair, p) in pairs.items()
        ]
        drawing = Differences(rows, name, tag)
        if drawing.there_are_any and comparison.seed_matters:
            yield Figure(
                f"differences-{self.slug}",
                f"{tag} relative to {name} on {comparison.task}, with 95% intervals",
                drawing.figure(wide=True),
                drawing.figure(wide=False),
            )
            yield Text(
                "Lines are 95% intervals of one comparison each. A full mark is a difference that "
                "can be claimed at 5%, all of them together (Holm).",
                True,
            )
        yield differences_table(comparison, pairs, self.looks)
        notes = {label: pair.note for label, (pair, _) in pairs.items() if pair.note}
        if notes:
            yield Folded(
                f"Notes on {count(len(notes), 'comparison')}",
                [Text(bullets([f"`{label}`: {note}." for label, note in notes.items()]))],
            )


def profile_parts(
    comparisons: Sequence[TaskComparison], by_method: Mapping[str, Look]
) -> Iterator[Part]:
    """Who meets how many targets within what multiple of the fastest; or why there is no answer."""
    entries = [entry for comparison in comparisons for entry in comparison.leaders]
    one_method = len({entry.setting.method for entry in entries}) == 1
    costs: dict[str, dict[str, float]] = {}
    tasks = set()
    for comparison in comparisons:
        for entry in comparison.leaders:
            cost = entry.median_target_steps
            if cost is not None:
                solver = entry.setting.label if one_method else entry.setting.method
                costs.setdefault(solver, {})[comparison.task] = max(cost, 1.0)
                tasks.add(comparison.task)
    whole = {solver: row for solver, row in costs.items() if len(row) == len(tasks)}
    noun = "setting" if one_method else "method"
    if len(tasks) < MINIMUM_PROBLEMS or len(whole) < 2:
        yield Text(
            f"A performance profile compares two {noun}s or more on {MINIMUM_PROBLEMS} tasks or "
            f"more that have a target; here {count(len(whole), noun)} on "
            f"{count(len(tasks), 'task')}.",
            True,
        )
        return
    profile = performance_profile(whole)
    by_solver = (
        dict(zip(whole, ordered_looks(len(whole)), strict=True)) if one_method else by_method
    )
    solving = [solver for solver in profile.solvers if profile.shares[solver][-1] > 0]
    drawing = ProfileFigure(profile, solving, by_solver)
    each = "a setting" if one_method else "a method at its best setting"
    yield Text(
        f"On how many of the {len(tasks)} tasks {each} meets the target within a multiple of the "
        "steps of the fastest (median over seeds; Dolan and More, 2002)."
    )
    if solving:
        yield Figure(
            "profiles",
            "share of tasks solved against the factor to the fastest",
            drawing.figure(wide=True),
            drawing.figure(wide=False),
        )
    never = [f"`{solver}`" for solver in profile.solvers if solver not in solving]
    if never:
        yield Text(f"Met no target on any task: {listed(never, most=20)}.", True)
    left_out = sorted(set(costs) - set(whole))
    if left_out:
        names = listed([f"`{name}`" for name in left_out])
        yield Text(f"Not in it, for want of a result on some task: {names}.", True)
    yield Text(
        "The left end says how often each is the fastest, the right end how often it meets "
        "the target at all. It tells the best at each multiple, and does not rank the rest.",
        True,
    )


def run_parts(sweeps: Sequence[Sweep]) -> Iterator[Part]:
    """The grid, what did not end well, what was not planned, commands and versions."""
    rows = [run for sweep in sweeps for run in sweep.runs]
    yield grid_table(rows)
    statuses = Counter(run.status for run in rows)
    if set(statuses) - {"completed"}:
        others = [f"{amount} {s}" for s, amount in statuses.most_common() if s != "completed"]
        table, more = trouble_table(sweeps)
        parts: list[Part] = [table]
        if more:
            parts.append(Text(f"{more} more are in `results.csv`.", True))
        yield Folded(f"{count(len(rows), 'run')}, of which {listed(others)}", parts)
    else:
        yield Text(f"All {count(len(rows), 'run')} were completed, no cell of the grid is missing.")
    left_out = [entry for sweep in sweeps for entry in sweep.left_out]
    if left_out:
        yield Text("Not planned, because it cannot run:")
        yield Text(bullets([f"`{' '.join(e['overrides'])}`: {e['reason']}" for e in left_out]))
    commands = [command for sweep in sweeps for command in sweep.commands]
    if commands:
        yield Text("To repeat it:")
        yield Text("\n".join(["```bash", *commands, "```"]))
    versions = {tuple(sorted(sweep.versions.items())) for sweep in sweeps if sweep.versions}
    versions |= {tuple(sorted(run.versions.items())) for run in rows if run.versions}
    if len(versions) > 1:
        yield Text(f"**The runs were made with {len(versions)} sets of versions:**")
    else:
        yield Text("Versions:")
    yield Text(bullets([", ".join(f"{name} {v}" for name, v in each) for each in sorted(versions)]))
