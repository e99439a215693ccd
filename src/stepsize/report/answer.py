"""The answer for one task in sentences: the best setting, by how much, and how surely."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from stepsize.report.task import LEVEL, Entry, TaskComparison, edge_sentence, lr_curves
from stepsize.report.wording import code, count, listed, number, steps, times
from stepsize.stats.paired import Paired

_UNINFORMATIVE = 1e3  # ratio of an interval's ends


@dataclass(frozen=True)
class Answer:
    """The conclusion of a task.

    Attributes:
        headline: the best setting, in one sentence; Markdown.
        sentences: its mean, and the settings from which it differs significantly.
        caveats: limits of the conclusion.
    """

    headline: str
    sentences: tuple[str, ...]
    caveats: tuple[str, ...]


def answer(comparison: TaskComparison) -> Answer:
    """Conclude which hyperparameter setting is best on a task, and how sure it is."""
    known = comparison.known
    if not known:
        return Answer("No run completed or diverged, so there is no answer.", (), _lost(comparison))
    best = known[0]
    caveats = _caveats(comparison)
    if not math.isfinite(best.median):
        tried = count(len(known), "setting")
        return Answer(f"In each setting at least half of the runs diverged ({tried}).", (), caveats)
    middle = "median " if best.n > 1 else ""
    place = f"{middle}{best.measure.tag} {number(best.median)} after {steps(best.steps)} steps"
    if len(known) == 1:
        headline = f"There is only one setting, `{best.setting.label}`: it ends at {place}."
        return Answer(headline, (_mean(best, comparison),), caveats)
    word = "lowest" if comparison.measure.mode == "min" else "highest"
    headline = f"`{best.setting.label}` ends {word}: {place}."
    return Answer(headline, (_mean(best, comparison), *_others(best, comparison)), caveats)


def _mean(best: Entry, comparison: TaskComparison) -> str:
    if best.n == 1:
        return "There is one seed, so there is no interval, and the order may be chance."
    if not comparison.seed_matters:
        return (
            f"Its {best.n} seeds end at the same value, so the seed has no effect. The order is "
            "exact for this task and this initial point, and says nothing about others."
        )
    if best.mean is None:
        return f"{best.count('diverged')} of its {best.n} seeds diverged, so no mean is given."
    kind = "geometric mean" if best.measure.log else "mean"
    wide = best.measure.log and best.mean.high > _UNINFORMATIVE * best.mean.low
    return (
        f"Over {best.n} seeds the {kind} is {number(best.mean.center)} (95% interval "
        f"{number(best.mean.low)} to {number(best.mean.high)})."
        + (" The interval is too wide to be useful: more seeds are needed." if wide else "")
    )


def _others(best: Entry, comparison: TaskComparison) -> tuple[str, ...]:
    known = comparison.known
    if not comparison.seed_matters:
        same = [e.setting.label for e in known[1:] if e.median == best.median]
        return (f"The value of {listed(code(same))} is equal.",) if same else ()
    second = f"The second is `{known[1].setting.label}` with {number(known[1].median)}."
    compared = comparison.against(best)
    seeds = min(pair.n for pair, _ in compared.values())
    least_p = 2 / 2**seeds
    if best.n == 1:
        return (second,)
    if least_p > LEVEL:
        return (
            f"With {count(seeds, 'common seed')} no difference can be significant at 5%: the "
            f"smallest possible p is {least_p:.2g}. Use 6 seeds or more.",
            second,
        )
    worse = [
        label
        for label, (pair, p) in compared.items()
        if comparison.claims(pair, p) and pair.verdict == "worse"
    ]
    equal = [label for label in compared if label not in worse]
    sentences = []
    if equal:
        sentences.append(f"It does not differ significantly from {listed(code(equal))}.")
    if worse:
        whom = f"the other {len(worse)}" if len(worse) > 6 else listed(code(worse))
        whom = "all others" if not equal and len(worse) > 1 else whom
        nearest = f" than the closest, `{worse[0]}`" if len(worse) > 1 else ""
        by = _by(compared[worse[0]][0], comparison.measure.mode, nearest)
        sentences.append(f"It is significantly better than {whom}: {by}.")
    elif least_p * len(compared) > LEVEL:
        sentences.append(
            f"With {count(seeds, 'common seed')} and {len(compared)} comparisons no difference can "
            f"be significant at 5%: the smallest possible p is {least_p * len(compared):.2g}. Use "
            "more seeds."
        )
    return tuple(sentences)


def _by(pair: Paired, mode: str, nearest: str) -> str:
    """How much better the best is than the other setting of the pair."""
    if pair.ratio_or_difference is None or pair.low is None or pair.high is None:
        return f"at {pair.losses} of {pair.n} seeds{nearest}, where a diverged run is the worst"
    if pair.scale == "difference":
        low, high = sorted((abs(pair.low), abs(pair.high)))
        word = "lower" if mode == "min" else "higher"
        amount = number(abs(pair.ratio_or_difference))
        return f"{amount} {word}{nearest} (95% interval {number(low)} to {number(high)})"
    return times(1 / pair.ratio_or_difference, (1 / pair.high, 1 / pair.low), mode, nearest)


def _caveats(comparison: TaskComparison) -> tuple[str, ...]:
    known = comparison.known
    found = [*_lost(comparison)]
    if comparison.two_stages:
        found.append(
            f"The settings were selected among {len(comparison.tuning)} on other seeds, so there "
            "is no selection bias."
        )
    elif len(comparison.leaders) < len(comparison.entries) and comparison.seed_matters:
        found.append(
            f"Each method is shown at the best of its settings ({len(comparison.entries)} in all). "
            "The same seeds selected them, so all values are optimistic (selection bias). New "
            "seeds give unbiased values."
        )
    elif len(known) > 2 and comparison.seed_matters and known[0].n > 1:
        found.append(
            f"The same seeds selected the best of {len(known)}, so its value is optimistic "
            "(selection bias)."
        )
    edge = edge_sentence(lr_curves(comparison.tuning))
    found += [edge] if edge else []
    found += _unequal(comparison)
    if comparison.repeats:
        runs = count(comparison.repeats, "run repeats", "runs repeat")
        found.append(f"{runs} others of this comparison, and are not counted.")
    return tuple(found)


def _lost(comparison: TaskComparison) -> tuple[str, ...]:
    counts = Counter(run.status for run in comparison.runs)
    found = []
    if counts["diverged"]:
        runs = count(counts["diverged"], "run diverged and counts", "runs diverged and count")
        found.append(f"{runs} as infinitely bad in medians and ranks.")
    unknown = [f"{counts[s]} {s}" for s in ("failed", "interrupted", "missing") if counts[s]]
    if unknown:
        found.append(f"Runs without a final value are not counted in n: {listed(unknown)}.")
    return tuple(found)


def _unequal(comparison: TaskComparison) -> list[str]:
    """Warnings about settings, seeds and steps that differ in number."""
    numbers = {
        "settings": Counter(entry.setting.method for entry in comparison.tuning),
        "seeds": {entry.setting.label: len(entry.runs) for entry in comparison.entries},
        "steps": {e.setting.label: e.steps for e in comparison.known if math.isfinite(e.median)},
    }
    return [
        f"Unequal numbers of {noun}: {_by_number(amounts)}."
        for noun, amounts in numbers.items()
        if len(set(amounts.values())) > 1
    ]


def _by_number(amounts: Mapping[str, int]) -> str:
    groups: dict[int, list[str]] = {}
    for name, amount in amounts.items():
        groups.setdefault(amount, []).append(f"`{name}`")
    return "; ".join(
        f"{amount:,} for {listed(names, maximum=4)}" for amount, names in sorted(groups.items())
    )
