"""The answer for one task in plain words, and how sure one can be of it."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

from stepsize.report.task import LEVEL, Entry, TaskComparison, edge_sentence, rate_curves
from stepsize.report.wording import code, count, listed, number, steps, times
from stepsize.stats.paired import Paired

_SAYS_NOTHING = 1e3  # the ratio of an interval's ends from which it leaves everything open


@dataclass(frozen=True)
class Answer:
    """What a task's runs say.

    Attributes:
        headline: which setting ends best, in one sentence; backticks mark names of settings.
        sentences: how good it is and what it can be told apart from.
        caveats: what would be wrong to read into it.
    """

    headline: str
    sentences: tuple[str, ...]
    caveats: tuple[str, ...]


def answer(comparison: TaskComparison) -> Answer:
    """Say which setting ends best on a task, and how sure that is."""
    known = comparison.known
    if not known:
        return Answer("No run has come to an end, so there is no answer.", (), _trouble(comparison))
    best = known[0]
    if not math.isfinite(best.median):
        return Answer(
            f"Nothing worked: of every setting, half of the runs or more diverged "
            f"({count(len(known), 'setting')} tried).",
            (),
            _caveats(comparison),
        )
    word = "lowest" if comparison.measure.mode == "min" else "highest"
    if len(known) == 1:
        headline = f"Only `{best.setting.label}` was tried: it ends at {_place(best)}."
        return Answer(headline, _level(best, comparison), _caveats(comparison))
    headline = f"`{best.setting.label}` ends {word}: {_place(best)}."
    sentences = (*_level(best, comparison), *_others(best, comparison))
    return Answer(headline, sentences, _caveats(comparison))


def _place(best: Entry) -> str:
    middle = "median " if best.n > 1 else ""
    return f"{middle}{best.measure.tag} {number(best.median)} after {steps(best.steps)} steps"


def _level(best: Entry, comparison: TaskComparison) -> tuple[str, ...]:
    if best.n == 1:
        return ("It is one seed: no interval can be given, and luck cannot be told from merit.",)
    if not comparison.seed_matters:
        return (
            f"Its {best.n} seeds end at the same number: nothing here depends on the seed, so the "
            "order is exact for this task and this start, and says nothing about others.",
        )
    if best.mean is None:
        lost = best.count("diverged")
        return (f"{lost} of its {best.n} seeds diverged, so no mean is given.",)
    kind = "geometric mean" if best.measure.log else "mean"
    wide = best.measure.log and best.mean.high > _SAYS_NOTHING * best.mean.low
    return (
        f"Over {best.n} seeds the {kind} is {number(best.mean.center)} (95% interval "
        f"{number(best.mean.low)} to {number(best.mean.high)}"
        + (": its seeds differ too much for their number)." if wide else ")."),
    )


def _others(best: Entry, comparison: TaskComparison) -> tuple[str, ...]:
    if not comparison.seed_matters:
        same = [e.setting.label for e in comparison.known[1:] if e.median == best.median]
        return (f"It shares this place with {listed(code(same))}.",) if same else ()
    compared = comparison.against(best)
    seeds = min(pair.n for pair, _ in compared.values())
    if best.n == 1:
        return (_next(comparison),)
    if 2 / 2**seeds > LEVEL:
        return (
            f"With {count(seeds, 'seed')} in common nothing can be claimed at 5%, even where it "
            f"wins at every seed (p would be {2 / 2**seeds:.2g}); take 6 or more.",
            _next(comparison),
        )
    least = 2 / 2**seeds * len(compared)
    worse = [
        label
        for label, (pair, p) in compared.items()
        if comparison.claims(pair, p) and pair.verdict == "worse"
    ]
    level = [label for label in compared if label not in worse]
    sentences = []
    if level:
        sentences.append(f"It cannot be told apart from {listed(code(level))}.")
    if worse:
        whom = f"the other {len(worse)}" if len(worse) > 6 else listed(code(worse))
        whom = "all others" if not level and len(worse) > 1 else whom
        nearest = f" than the closest, `{worse[0]}`" if len(worse) > 1 else ""
        by = _by(compared[worse[0]][0], comparison.measure.mode, nearest)
        sentences.append(f"It is better than {whom}: {by}.")
    elif least > LEVEL:
        sentences.append(
            f"With {count(seeds, 'seed')} and {len(compared)} comparisons at once nothing could be "
            f"claimed at 5% (p would be {least:.2g} at best): take more seeds."
        )
    return tuple(sentences)


def _next(comparison: TaskComparison) -> str:
    second = comparison.known[1]
    return f"Next comes `{second.setting.label}` with {number(second.median)}."


def _by(pair: Paired, mode: str, nearest: str) -> str:
    """How much better than the other, whose comparison with the best this is."""
    if pair.ratio_or_difference is None or pair.low is None or pair.high is None:
        return (
            f"at {pair.losses} of {pair.n} seeds{nearest}, where a run that diverged is worse than "
            "any number"
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
            f"The settings were chosen among {tried} on other seeds than these, which is fair."
        )
    elif chosen and comparison.seed_matters:
        found.append(
            f"Each is the best of its own settings ({tried} in all), chosen by the very seeds that "
            "it is judged by: all of these numbers flatter. Fresh seeds would tell."
        )
    elif len(known) > 2 and comparison.seed_matters and known[0].n > 1:
        found.append(
            f"The best of {len(known)} is picked by the very seeds that it is judged by, which "
            "flatters it."
        )
    edge = edge_sentence(rate_curves(comparison.tuning))
    found += [edge] if edge else []
    found += _unequal(comparison)
    if comparison.repeats:
        found.append(
            f"{count(comparison.repeats, 'run is a repeat', 'runs are repeats')} of others in this "
            "comparison, and counted once."
        )
    return tuple(found)


def _trouble(comparison: TaskComparison) -> tuple[str, ...]:
    counts = Counter(run.status for run in comparison.runs)
    found = []
    if counts["diverged"]:
        runs = count(counts["diverged"], "run diverged: it counts", "runs diverged: they count")
        found.append(f"{runs} as infinitely bad, in medians and in ranks.")
    unknown = [f"{counts[s]} {s}" for s in ("failed", "interrupted", "missing") if counts[s]]
    if unknown:
        found.append(
            f"{listed(unknown)}: nothing is known of these runs, and n is smaller by them."
        )
    return tuple(found)


def _unequal(comparison: TaskComparison) -> list[str]:
    """Who had more chances than others."""
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
