"""The chapters of one task: table, learning curves, learning rates, paired differences."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from stepsize.results.baseline import choose_baseline
from stepsize.results.colours import Look
from stepsize.results.comparison import TaskComparison
from stepsize.results.curves import CurveReader
from stepsize.results.document import Bullets, Chapter, Figure, Folded, Part, Text
from stepsize.results.figures.differences import Differences
from stepsize.results.figures.learning import LearningCurves
from stepsize.results.figures.sensitivity import Sensitivity
from stepsize.results.rates import edge_sentence, rate_curves
from stepsize.results.settings import shown_number
from stepsize.results.tables import differences_table, other_metrics_table, settings_table
from stepsize.results.wording import count, listed

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
        yield Text(self._how_to_read(), True)

    def _how_to_read(self) -> str:
        n = "n counts the seeds that were completed or diverged."
        diverged = "Where one diverged no mean is given, and the median counts it as infinite."
        mean = (
            "The interval is Student's t on the log."
            if self.comparison.measure.log
            else "The interval is Student's t."
        )
        targets = {
            f"{run.target.metric} of {shown_number(str(run.target.value))}"
            for run in self.comparison.runs
            if run.target is not None
        }
        target = (
            f" The target is {listed(sorted(targets))}; steps to it are a median, in which a miss "
            "is infinite."
            if targets
            else ""
        )
        return f"{n} {diverged} {mean}{target} Time is that of a run, by the median."

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
                [Bullets([f"`{label}`: {note}." for label, note in notes.items()])],
            )
