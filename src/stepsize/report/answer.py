"""The answer for one task in sentences: the best setting, its uncertainty, and caveats."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

from stepsize.report.task import LEVEL, Entry, TaskComparison, edge_sentence, lr_curves
from stepsize.report.wording import code, count, listed, number, steps, times
from stepsize.stats.paired import Paired

_UNINFORMATIVE = 1e3  # the ratio of an interval's ends from which the report calls it too wide


@dataclass(frozen=True)
class Answer:
    """The answer for one task, in Markdown.

    Attributes:
        headline: the best hyperparameter setting, in one sentence.
        sentences: its mean with the interval, and its differences from the other settings.
        caveats: limits of the comparison, such as bias, divergence and unequal numbers of runs.
    """

    headline: str
    sentences: tuple[str, ...]
    caveats: tuple[str, ...]


def answer(comparison: TaskComparison) -> Answer:
    """The best hyperparameter setting of a task, and how certain that is."""
    known = comparison.known
    if not known:
        return Answer("No run finished, so there is no answer.", (), _trouble(comparison))
    best = known[0]
    if not math.isfinite(best.median):
        return Answer(
            "No setting converged: at least half of the runs of each setting diverged "
            f"({count(len(known), 'setting')}).",
            (),
            _caveats(comparison),
        )
    word = "lowest" if comparison.measure.mode == "min" else "highest"
    if len(known) == 1:
        headline = f"The only setting, `{best.setting.label}`, has {_final(best)}."
        return Answer(headline, _level(best, comparison), _caveats(comparison))
    headline = f"`{best.setting.label}` is best: {word} {_final(best)}."
    sentences = (*_level(best, comparison), *_others(best, comparison))
    return Answer(headline, sentences, _caveats(comparison))


def _final(best: Entry) -> str:
    median = "median " if best.n > 1 else ""
    return f"{median}{best.measure.tag}, {number(best.median)} after {steps(best.steps)} steps"


def _level(best: Entry, comparison: TaskComparison) -> tuple[str, ...]:
    if best.n == 1:
        return ("One seed gives no confidence interval, so the difference may be chance.",)
    if not comparison.seed_matters:
        return (
            f"Its {best.n} seeds have the same final value: the seed has no effect here. The order "
            "is exact for this task and these initial weights, and does not generalize.",
        )
    if best.mean is None:
        return (f"{best.count('diverged')} of its {best.n} seeds diverged, so it has no mean.",)
    kind = "geometric mean" if best.measure.log else "mean"
    wide = best.measure.log and best.mean.high > _UNINFORMATIVE * best.mean.low
    return (
        f"Over {best.n} seeds the {kind} is {number(best.mean.center)} (95% interval "
        f"{number(best.mean.low)} to {number(best.mean.high)}"
        + ("; the seeds vary too much for so few of them)." if wide else ")."),
    )


def _others(best: Entry, comparison: TaskComparison) -> tuple[str, ...]:
    if not comparison.seed_matters:
        same = [e.setting.label for e in comparison.known[1:] if e.median == best.median]
        return (f"It ties with {listed(code(same))}.",) if same else ()
    compared = comparison.against(best)
    seeds = min(pair.n for pair, _ in compared.values())
    if best.n == 1:
        return (_next(comparison),)
    if 2 / 2**seeds > LEVEL:
        return (
            f"With {count(seeds, 'common seed')} no difference can be significant at 5%: the "
            f"smallest possible p is {2 / 2**seeds:.2g}. Use at least 6 seeds.",
            _next(comparison),
        )
    least = 2 / 2**seeds * len(compared)
    worse = [
        label
        for label, (pair, p) in compared.items()
        if comparison.claims(pair, p) and pair.verdict == "worse"
    ]
    similar = [label for label in compared if label not in worse]
    sentences = []
    if similar:
        sentences.append(f"It is not significantly different from {listed(code(similar))}.")
    if worse:
        whom = f"the other {len(worse)}" if len(worse) > 6 else listed(code(worse))
        whom = "all others" if not similar and len(worse) > 1 else whom
        nearest = f" than the closest, `{worse[0]}`" if len(worse) > 1 else ""
        by = _by(compared[worse[0]][0], comparison.measure.mode, nearest)
        sentences.append(f"It is significantly better than {whom}: {by}.")
    elif least > LEVEL:
        sentences.append(
            f"With {count(seeds, 'seed')} and {len(compared)} comparisons no difference can be "
            f"significant at 5%: the smallest possible p is {least:.2g}. Use more seeds."
        )
    return tuple(sentences)


def _next(comparison: TaskComparison) -> str:
    second = comparison.known[1]
    return f"The second best is `{second.setting.label}` with {number(second.median)}."


def _by(pair: Paired, mode: str, nearest: str) -> str:
    """How much better the best setting is than the other one of the pair."""
    if pair.ratio_or_difference is None or pair.low is None or pair.high is None:
        return (
            f"at {pair.losses} of {pair.n} seeds{nearest}, where a diverged run is worse than any "
            "number"
        )
    if pair.scale == "difference":
        low, high = sorted((abs(pair.low), abs(pair.high)))
        word = "lower" if mode == "min" else "higher"
        amount = number(abs(pair.ratio_or_difference))
        return f"{amount} {word}{nearest} (95% interval {number(low)} to {number(high)})"
    return times(1 / pair.ratio_or_difference, (1 / pair.high, 1 / pair.low), mode, nearest)


def _caveats(comparison: TaskComparison) -> tuple[str, ...]:
    known = comparison.known
    found = [*_trouble(comparison)]
    tried = len(comparison.tuning) if comparison.two_stages else len(comparison.entries)
    chosen = len(comparison.leaders) < len(comparison.entries)
    if comparison.two_stages:
        found.append(
            f"The settings were selected from {tried} on separate tuning seeds, so that the "
            "selection does not bias these numbers."
        )
    elif chosen and comparison.seed_matters:
        found.append(
            f"Each method has its best setting ({tried} in all), selected on the seeds of this "
            "comparison: selection bias makes all of these numbers optimistic. Confirm them on new "
            "seeds."
        )
    elif len(known) > 2 and comparison.seed_matters and known[0].n > 1:
        found.append(
            f"The best of {len(known)} is selected on the seeds of this comparison: selection bias "
            "makes its number optimistic."
        )
    edge = edge_sentence(lr_curves(comparison.tuning))
    found += [edge] if edge else []
    found += _unequal(comparison)
    if comparison.repeats:
        found.append(
            f"{count(comparison.repeats, 'run repeats another one', 'runs repeat others')}; a "
            "repeated run counts once."
        )
    return tuple(found)


def _trouble(comparison: TaskComparison) -> tuple[str, ...]:
    counts = Counter(run.status for run in comparison.runs)
    found = []
    if counts["diverged"]:
        runs = count(counts["diverged"], "run diverged and counts", "runs diverged and count")
        found.append(f"{runs} as infinitely bad in medians and ranks.")
    unknown = [f"{counts[s]} {s}" for s in ("failed", "interrupted", "missing") if counts[s]]
    if unknown:
        found.append(f"{listed(unknown)}: these runs have no result and are not part of n.")
    return tuple(found)


def _unequal(comparison: TaskComparison) -> list[str]:
    """Methods and settings with unequal numbers of settings, seeds or steps."""
    found = []
    settings = Counter(entry.setting.method for entry in comparison.tuning)
    if len(set(settings.values())) > 1:
        found.append(f"Unequal numbers of settings: {_by_number(settings)}.")
    seeds = {entry.setting.label: len(entry.runs) for entry in comparison.entries}
    if len(set(seeds.values())) > 1:
        found.append(f"Unequal numbers of seeds: {_by_number(seeds)}.")
    steps_ = {e.setting.label: e.steps for e in comparison.known if math.isfinite(e.median)}
    if len(set(steps_.values())) > 1:
        found.append(f"Unequal numbers of steps: {_by_number(steps_)}.")
    return found


def _by_number(amounts: dict[str, int] | Counter[str]) -> str:
    groups: dict[int, list[str]] = {}
    for name, amount in amounts.items():
        groups.setdefault(amount, []).append(f"`{name}`")
    return "; ".join(
        f"{amount:,} for {listed(names, most=4)}" for amount, names in sorted(groups.items())
    )
