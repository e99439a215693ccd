"""The chapters of a report: each task's, performance profiles, and the runs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from stepsize.report.columns import (
    differences_table,
    grid_table,
    legend,
    other_metrics_table,
    settings_table,
    trouble_table,
)
from stepsize.report.curves import CurveReader
from stepsize.report.document import Chapter, Figure, Folded, Note, Part
from stepsize.report.figures.differences import Differences
from stepsize.report.figures.learning import LearningCurves
from stepsize.report.figures.profile import ProfileFigure
from stepsize.report.figures.sensitivity import Sensitivity
from stepsize.report.labels import shown_number
from stepsize.report.line_styles import Look, ordered_looks
from stepsize.report.read import Sweep
from stepsize.report.task import TaskComparison, choose_baseline, edge_sentence, lr_curves
from stepsize.report.wording import code, count, listed
from stepsize.stats.profiles import MINIMUM_PROBLEMS, performance_profile

_MOST_ROWS = 20  # of a table that is not folded


class TaskChapters:
    """The chapters of one task: table, learning curves, learning rates, paired differences.

    Args:
        comparison: of the hyperparameter settings on the task.
        curves_of: reads a run's curves.
        by_method: how each method's line is drawn.
        baseline: of the paired differences; None for the default.
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
        lrs = list(self._lrs())
        if lrs:
            yield Chapter("Learning rates", lrs, 3)
        differences = list(self._differences())
        if differences:
            yield Chapter("Paired differences", differences, 3)

    def _table(self) -> Iterator[Part]:
        comparison, measure = self.comparison, self.comparison.measure
        what = f"the gap to the optimum, `{measure.tag}`" if measure.is_gap else f"`{measure.tag}`"
        better = "smaller" if measure.mode == "min" else "larger"
        unknown = "" if measure.is_gap else " The optimum of this task is not known."
        stage = " Only runs on the test seeds count." if comparison.two_stages else ""
        yield Note(f"Ranked by the final value of {what}; {better} is better.{unknown}{stage}")
        entries, leaders = comparison.entries, comparison.leaders
        short = len(entries) > _MOST_ROWS and len(leaders) < len(entries)
        shown = leaders if short else entries
        main, rest = shown[:_MOST_ROWS], shown[_MOST_ROWS:]
        yield settings_table(comparison, main, self.looks)
        if short:
            yield Note(
                f"The best hyperparameter setting of each method, from {len(entries)} in all."
            )
            rest = entries
        if rest:
            title = f"All {len(entries)} settings" if short else f"{len(rest)} more"
            yield Folded(title, [settings_table(comparison, rest, self.looks)])
        others = other_metrics_table(comparison, main, self.looks)
        if others is not None:
            yield Folded("Other metrics: median of the final value over seeds", [others])
        targets = {
            f"{run.target.metric} of {shown_number(str(run.target.value))}"
            for run in comparison.runs
            if run.target is not None
        }
        target = f" The target is {listed(sorted(targets))}." if targets else ""
        yield Note(legend(comparison) + target)

    def _curves(self) -> Iterator[Part]:
        task, tag = self.comparison.task, self.comparison.measure.tag
        yield Figure(
            f"curves-{self.slug}",
            f"{tag} against optimizer steps on {task}, one line for each hyperparameter setting",
            self.learning.overview(wide=True),
            self.learning.overview(wide=False),
        )
        notes = [
            "Thin lines are single seeds; bold lines are medians over seeds."
            if self.learning.seeds_in_overview
            else "Lines are medians over seeds."
        ]
        if any(entry.count("diverged") for entry in self.learning.leaders):
            notes.append("A cross marks where a run, or half of the seeds, diverged.")
        if self.learning.hidden:
            notes.append(f"The {self.learning.hidden} worst settings are grey.")
        lost = sum(not run.finished for entry in self.comparison.entries for run in entry.runs)
        if lost:
            notes.append(f"Not drawn: {count(lost, 'unfinished run')}.")
        yield Note(" ".join(notes))
        if not self.learning.seeds_in_overview:
            yield Figure(
                f"curves-{self.slug}-each",
                f"{tag} against optimizer steps on {task}, a panel for each setting with all seeds",
                panels=self.learning.panels(),
            )
            yield Note(
                "One panel for each setting: thin lines are its seeds, the bold line is their "
                "median, and grey lines are the medians of the other settings."
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
        stage = " of the tuning stage" if self.comparison.two_stages else ""
        others = (
            " Each learning rate is shown with the best values of the other hyperparameters."
            if any(curve.others for curve in curves)
            else ""
        )
        yield Note(
            f"Lines are medians over the seeds{stage}; dots are seeds. A ring marks the best "
            "learning rate. A cross at the edge marks a learning rate at which runs diverged."
            + others
        )
        edge = edge_sentence(curves)
        if edge:
            yield edge

    def _differences(self) -> Iterator[Part]:
        comparison, baseline = self.comparison, self.baseline
        if baseline is None:
            if self.wanted is not None and len(comparison.known) > 1:
                yield Note(f"The baseline `{self.wanted}` has no runs on this task.")
            return
        pairs = comparison.against(baseline)
        if all(pair.n < 2 for pair, _ in pairs.values()):
            yield Note("One common seed allows neither a confidence interval nor a test.")
            return
        name = baseline.setting.label
        tag = comparison.measure.tag
        yield (
            f"Each setting is compared with `{name}` at the same seeds, so that both start from "
            "the same weights and see the same batches."
        )
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
            yield Note(
                "Lines are 95% confidence intervals, one comparison each. A filled mark is a "
                "difference that is significant at 5% after Holm's correction for the number of "
                "comparisons."
            )
        yield differences_table(comparison, pairs, self.looks)
        notes = {label: pair.note for label, (pair, _) in pairs.items() if pair.note}
        if notes:
            yield Folded(
                f"Notes on {count(len(notes), 'comparison')}",
                [_bullets(f"`{label}`: {note}." for label, note in notes.items())],
            )


def profile_parts(
    comparisons: Sequence[TaskComparison], by_method: Mapping[str, Look]
) -> Iterator[Part]:
    """The performance profiles of all methods over tasks, or why there are none."""
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
        yield Note(
            f"A performance profile needs at least 2 {noun}s and {MINIMUM_PROBLEMS} tasks with a "
            f"target; these runs have {count(len(whole), noun)} on {count(len(tasks), 'task')}."
        )
        return
    profile = performance_profile(whole)
    by_solver = (
        dict(zip(whole, ordered_looks(len(whole)), strict=True)) if one_method else by_method
    )
    solving = [solver for solver in profile.solvers if profile.shares[solver][-1] > 0]
    drawing = ProfileFigure(profile, solving, by_solver)
    each = "a setting" if one_method else "the best setting of a method"
    yield (
        f"The share of the {len(tasks)} tasks on which {each} reaches the target within a multiple "
        f"of the steps of the fastest {noun} (median over seeds; Dolan and More, 2002)."
    )
    if solving:
        yield Figure(
            "profiles",
            f"share of tasks solved against the steps relative to the fastest {noun}",
            drawing.figure(wide=True),
            drawing.figure(wide=False),
        )
    never = code([solver for solver in profile.solvers if solver not in solving])
    if never:
        yield Note(f"No target reached on any task: {listed(never, most=20)}.")
    skipped = code(sorted(set(costs) - set(whole)))
    if skipped:
        yield Note(f"Skipped, because a task has no result: {listed(skipped)}.")
    yield Note(
        f"The left end is the share of tasks on which a {noun} is the fastest, the right end the "
        f"share on which it reaches the target at all. The profile shows the best {noun} at each "
        "multiple; it does not rank the others."
    )


def run_parts(sweeps: Sequence[Sweep]) -> Iterator[Part]:
    """The grid, runs that did not complete, skipped combinations, commands and versions."""
    rows = [run for sweep in sweeps for run in sweep.runs]
    yield grid_table(rows)
    statuses = Counter(run.status for run in rows)
    if set(statuses) - {"completed"}:
        others = [f"{amount} {s}" for s, amount in statuses.most_common() if s != "completed"]
        table, more = trouble_table(sweeps)
        parts: list[Part] = [table]
        if more:
            parts.append(Note(f"`results.csv` has {more} more."))
        yield Folded(f"{count(len(rows), 'run')}, of which {listed(others)}", parts)
    else:
        yield f"All {count(len(rows), 'run')} of the grid completed."
    skipped = [entry for sweep in sweeps for entry in sweep.skipped]
    if skipped:
        yield "Skipped, because optimizer and task are incompatible:"
        yield _bullets(f"`{' '.join(e['overrides'])}`: {e['reason']}" for e in skipped)
    commands = [command for sweep in sweeps for command in sweep.commands]
    if commands:
        yield "Commands that repeat the runs:"
        yield "\n".join(["```bash", *commands, "```"])
    versions = {tuple(sorted(sweep.versions.items())) for sweep in sweeps if sweep.versions}
    versions |= {tuple(sorted(run.versions.items())) for run in rows if run.versions}
    if len(versions) > 1:
        yield f"**The runs used {len(versions)} different sets of versions:**"
    else:
        yield "Versions:"
    yield _bullets(", ".join(f"{name} {v}" for name, v in each) for each in sorted(versions))


def _bullets(items: Iterable[str]) -> str:
    return "\n".join(f"- {item}" for item in items)
