"""The conclusion for one task in sentences: the best setting, by how much, and how surely."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from stepsize.config.schema import larger_is_better
from stepsize.report.differences import Difference
from stepsize.report.labels import shown_number
from stepsize.report.task import LEVEL, Entry, TaskComparison, edge_sentence, lr_curves
from stepsize.report.wording import code, count, listed, number, p_value, steps, times

_UNINFORMATIVE = 1e3  # ratio of an interval's ends
_MOST_NAMED = 8


@dataclass(frozen=True)
class Conclusion:
    """The answer for a task; all texts are Markdown.

    Attributes:
        headline: the best setting, in one sentence.
        certainty: how surely it is the best, in one sentence; None if there is only one setting.
        fastest: the setting that meets the target first, in one sentence; None without a target.
        sentences: the mean of the best setting, and what is known of the others.
        caveats: limits of the conclusion.
    """

    headline: str
    certainty: str | None
    fastest: str | None
    sentences: tuple[str, ...]
    caveats: tuple[str, ...]


def conclude(comparison: TaskComparison, against_best: Sequence[Difference]) -> Conclusion:
    """Conclude which hyperparameter setting is best on a task, and how sure that is.

    Args:
        comparison: the settings of the task.
        against_best: each other setting compared with the best one.
    """
    known, caveats = comparison.known, _caveats(comparison)
    if not known:
        nothing = "No run completed or diverged, so there is no answer."
        return Conclusion(nothing, None, None, (), caveats)
    best, fastest = known[0], _fastest(comparison)
    if not math.isfinite(best.median):
        tried = count(len(known), "setting")
        headline = f"In each setting at least half of the runs diverged ({tried})."
        return Conclusion(headline, None, fastest, (), caveats)
    sure = _certainty(comparison, against_best)
    sentences = [_mean(best, comparison), *_misses(best), *sure]
    certainty = sure[0] if sure else None
    return Conclusion(_headline(comparison), certainty, fastest, tuple(sentences), caveats)


def _headline(comparison: TaskComparison) -> str:
    known = comparison.known
    best = known[0]
    middle = "median " if best.n > 1 else ""
    place = f"{middle}{best.measure.tag} {number(best.median)} after {steps(best.steps)} steps"
    if len(known) == 1:
        return f"There is only one setting, `{best.setting.label}`: it ends at {place}."
    word = "lowest" if comparison.measure.mode == "min" else "highest"
    equal = [entry.setting.label for entry in known if entry.ties(best)]
    if len(equal) > 1:
        return f"{listed(code(equal))} end {word}, at equal values: {place}."
    return f"`{best.setting.label}` ends {word}: {place}."


def _fastest(comparison: TaskComparison) -> str | None:
    """The setting with the fewest steps to the target; None without one target for all runs."""
    known = comparison.known
    runs = [run for entry in known for run in entry.runs if run.finished]
    if len(known) < 2 or comparison.target is None or any(run.target is None for run in runs):
        return None
    metric, value = comparison.target
    target = f"{metric} {shown_number(str(value))}"
    medians = {entry.setting.label: entry.median_target_steps or math.inf for entry in known}
    least = min(medians.values())
    if not math.isfinite(least):
        return f"No setting meets the target, {target}, at more than half of its seeds."
    first = [entry for entry in known if medians[entry.setting.label] == least]
    names = code([entry.setting.label for entry in first])
    hits = first[0]
    seeds = f" ({hits.hits} of {len(hits.target_steps)} seeds)" if len(first) == 1 else ""
    middle = "a median of " if hits.n > 1 else ""
    return f"Fastest to {target}: {listed(names)}, after {middle}{steps(least)} steps{seeds}."


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
    if best.at_rounding == best.n:
        return f"At all {best.n} seeds the gap is a rounding error, below {best.measure.floor:.2g}."
    kind = "geometric mean" if best.measure.log else "mean"
    wide = best.measure.log and best.mean.high > _UNINFORMATIVE * best.mean.low
    return (
        f"Over {best.n} seeds the {kind} is {number(best.mean.center)} (95% interval "
        f"{number(best.mean.low)} to {number(best.mean.high)})."
        + (" The interval is too wide to be useful: more seeds are needed." if wide else "")
    )


def _misses(best: Entry) -> list[str]:
    missed = best.missed_at_end
    if not missed or missed == best.n:
        return []
    run, target = next((run, run.target) for run in best.runs if run.target is not None)
    side = "below" if larger_is_better(target.metric, run.monitor, run.mode) else "above"
    value = f"{target.metric} of {shown_number(str(target.value))}"
    seeds = f"{missed} of {count(best.n, 'seed')}"
    return [f"At {seeds} it ends {side} the target, {value}."]


def _certainty(comparison: TaskComparison, against_best: Sequence[Difference]) -> list[str]:
    """What is known of the other settings, the most important sentence first."""
    known = comparison.known
    best = known[0]
    if len(known) == 1:
        return []
    if not comparison.seed_matters:
        same = [e.setting.label for e in known[1:] if e.median == best.median]
        return [f"The value of {listed(code(same))} is equal."] if same else []
    second = f"The second is `{known[1].setting.label}` with {number(known[1].median)}."
    if best.n == 1:
        return [second]
    found = {kind: [d for d in against_best if _kind(d) == kind] for kind in _KINDS}
    testable = [*found["better"], *found["worse"], *found["open"]]
    sentences = [
        *(_better(comparison, found["better"])),
        *(_worse(comparison, found["worse"], len(against_best))),
        *_named("It does not differ significantly from {}.", found["open"]),
        *_named("The runs of {} end at identical values.", found["identical"]),
        *_few(found["few"]),
        *_named("{} has no seed in common with it, so no test compares them.", found["apart"]),
    ]
    return sentences if testable or found["identical"] else [*sentences, second]


_KINDS = ("better", "worse", "open", "identical", "few", "apart")


def _kind(difference: Difference) -> str:
    pair = difference.pair
    if pair.n == 0:
        return "apart"
    if pair.verdict == "identical":
        return "identical"
    if difference.significant:
        return pair.verdict
    return "few" if 2 / 2**pair.n > LEVEL else "open"


def _named(sentence: str, differences: Iterable[Difference]) -> list[str]:
    names = [difference.setting for difference in differences]
    return [sentence.format(listed(code(names)))] if names else []


def _better(comparison: TaskComparison, better: Sequence[Difference]) -> list[str]:
    """Settings with a worse median that the paired test calls better: a skewed distribution."""
    if not better:
        return []
    first = better[0]
    mean = "geometric mean of the ratios" if first.pair.scale == "ratio" else "mean difference"
    return [
        f"Only by the median: paired by seed, {listed(code([d.setting for d in better]))} "
        f"{'is' if len(better) == 1 else 'are'} significantly better "
        f"({mean}, adjusted p {p_value(first.p)})."
    ]


def _worse(comparison: TaskComparison, worse: Sequence[Difference], compared: int) -> list[str]:
    if not worse:
        return []
    names = [difference.setting for difference in worse]
    whom = f"the other {len(worse)}" if len(worse) > 6 else listed(code(names))
    whom = "all others" if len(worse) == compared > 1 else whom
    nearest = f" than the closest, `{names[0]}`" if len(worse) > 1 else ""
    by = _by(worse[0], comparison.known[0], nearest)
    return [f"It is significantly better than {whom}: {by}."]


def _few(differences: Sequence[Difference]) -> list[str]:
    """Comparisons with too few common seeds for any difference to be significant."""
    by_seeds: dict[int, list[str]] = defaultdict(list)
    for difference in differences:
        by_seeds[difference.pair.n].append(difference.setting)
    return [
        f"With {count(seeds, 'common seed')} no difference from {listed(code(names))} can be "
        f"significant at 5%: the smallest possible p is {2 / 2**seeds:.2g}. "
        "Use 6 seeds or more."
        for seeds, names in sorted(by_seeds.items())
    ]


def _by(difference: Difference, best: Entry, nearest: str) -> str:
    """How much better the best is than the other setting of the pair."""
    pair, mode = difference.pair, best.measure.mode
    if pair.ratio_or_difference is None or pair.low is None or pair.high is None:
        return f"at {pair.losses} of {pair.n} seeds{nearest}, where a diverged run is the worst"
    if pair.scale == "difference":
        low, high = sorted((abs(pair.low), abs(pair.high)))
        word = "lower" if mode == "min" else "higher"
        amount = number(abs(pair.ratio_or_difference))
        return f"{amount} {word}{nearest} (95% interval {number(low)} to {number(high)})"
    if best.at_rounding:  # its gaps are at most what they count as
        return f"more than {number(pair.ratio_or_difference)} times lower{nearest}"
    return times(1 / pair.ratio_or_difference, (1 / pair.high, 1 / pair.low), mode, nearest)


def _caveats(comparison: TaskComparison) -> tuple[str, ...]:
    known = comparison.known
    found = [*_lost(comparison)]
    if comparison.measure.caveat:
        found.append(comparison.measure.caveat)
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
    found += _untuned(comparison)
    found += _other_objectives(comparison)
    found += _one_training(comparison)
    edge = edge_sentence(lr_curves(comparison.tuning))
    found += [edge] if edge else []
    found += _unequal(comparison)
    if comparison.repeats:
        runs = count(comparison.repeats, "run repeats", "runs repeat")
        differ = comparison.unequal_repeats
        other = f" {differ} of them ended at other values: the later one counts." if differ else ""
        found.append(f"{runs} others of this comparison, and are not counted.{other}")
    return tuple(found)


def _untuned(comparison: TaskComparison) -> list[str]:
    """A warning that optimizers are compared at one learning rate each."""
    lrs: dict[str, set[float]] = defaultdict(set)
    for entry in comparison.tuning:
        lrs[entry.setting.optimizer] |= {run.lr for run in entry.runs if run.lr is not None}
    if len(lrs) < 2 or any(len(each) > 1 for each in lrs.values()):
        return []
    named = [f"`{name}` {shown_number(str(*each))}" for name, each in lrs.items() if each]
    return [
        "No learning rate was tuned: each optimizer ran at one, "
        f"{listed(named, maximum=_MOST_NAMED)}. Tuning may change the order."
    ]


def _other_objectives(comparison: TaskComparison) -> list[str]:
    """A warning about settings that may differ in more than how they are trained."""
    if not comparison.other_starts:
        return []
    keys = listed(code(comparison.other_starts))
    return [
        f"The settings differ in {keys}, so that initial weights, batches or the objective may "
        "differ, and their values may not be comparable."
    ]


def _one_training(comparison: TaskComparison) -> list[str]:
    """Settings whose runs are equal in every metric: one training under several names."""
    found: dict[str, list[str]] = defaultdict(list)
    for entry in comparison.entries:
        ends = {run.seed: (run.steps, run.metrics) for run in entry.runs if run.finished}
        if entry.n and math.isfinite(entry.median):
            found[f"{sorted(ends.items(), key=str)}"].append(entry.setting.label)
    return [
        f"{listed(code(labels))} are one training under several names: all metrics are equal."
        for labels in found.values()
        if len(labels) > 1
    ]


def _lost(comparison: TaskComparison) -> tuple[str, ...]:
    counts = Counter(run.status for run in comparison.runs)
    found = []
    if counts["diverged"]:
        runs = count(counts["diverged"], "run diverged and counts", "runs diverged and count")
        found.append(f"{runs} as infinitely bad in medians and ranks.")
    unknown = [f"{counts[s]} {s}" for s in ("failed", "interrupted", "missing") if counts[s]]
    if unknown:
        found.append(f"Runs without a final value are not counted in n: {listed(unknown)}.")
    tag = comparison.measure.tag
    unlogged = sum(r.status == "completed" and tag not in r.metrics for r in comparison.runs)
    if unlogged:
        runs = count(unlogged, "completed run has", "completed runs have")
        found.append(f"{runs} no `{tag}` and cannot be ranked.")
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
