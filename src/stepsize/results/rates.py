"""How the end depends on the learning rate, for each method."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from stepsize.results.entry import Entry
from stepsize.results.settings import shown_number
from stepsize.results.wording import listed


@dataclass(frozen=True)
class RateCurve:
    """A method at each of its rates.

    Attributes:
        method: its name.
        points: the best setting at each rate, by rising rate.
        others: whether something else than the rate varied too.
    """

    method: str
    points: tuple[tuple[float, Entry], ...]
    others: bool

    @property
    def best(self) -> int:
        """The place of the best rate among the points."""
        return min(range(len(self.points)), key=lambda place: self.points[place][1].order)

    @property
    def last(self) -> int:
        """The place of the highest rate."""
        return len(self.points) - 1

    @property
    def is_known(self) -> bool:
        """Whether any rate has led to a number."""
        return math.isfinite(self.points[self.best][1].median)


def rate_curves(entries: Iterable[Entry]) -> list[RateCurve]:
    """A curve for each method that was tried at two rates or more; the best method first."""
    by_method: dict[str, dict[float, list[Entry]]] = defaultdict(lambda: defaultdict(list))
    for entry in sorted(entries, key=lambda entry: entry.order):
        rate = entry.runs[0].lr
        if rate is not None:
            by_method[entry.setting.method][rate].append(entry)
    return [
        RateCurve(
            method,
            tuple((rate, rates[rate][0]) for rate in sorted(rates)),
            any(len(several) > 1 for several in rates.values()),
        )
        for method, rates in by_method.items()
        if len(rates) > 1
    ]


def on_edge(curves: Iterable[RateCurve]) -> list[RateCurve]:
    """The curves whose best rate is the lowest or the highest that was tried."""
    return [curve for curve in curves if curve.is_known and curve.best in (0, curve.last)]


def edge_sentence(curves: Iterable[RateCurve]) -> str | None:
    """What follows from best rates on an edge of their grid; None where there is none."""
    found = []
    for curve in on_edge(curves):
        word = "lowest" if curve.best == 0 else "highest"
        rate = shown_number(str(curve.points[curve.best][0]))
        found.append(f"`{curve.method}` ({rate}, the {word} of {len(curve.points)})")
    if not found:
        return None
    return (
        "The best rate lies on the edge of what was tried, and a better one may lie beyond: "
        f"{listed(found, most=20)}."
    )
