"""The line style of each method: an optimizer has the same colour in every report."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from stepsize.plots.style import BLUE, GREEN, INK, ORANGE, PURPLE, SKY, VERMILION
from stepsize.report.labels import Setting

# Seven colours that colour-blind readers can distinguish, without yellow, which is invisible on
# white. INK is the page's text colour, so that it is light in the dark scheme.
HUES = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, INK)
SOLID, DASHED, DOTTED = (), (4.0, 1.6), (1.2, 1.4)  # in line widths: on, off
DASHES = (SOLID, DASHED, DOTTED)
MARKERS = ("o", "s", "^")  # one per dash

# The most common optimizers have solid lines; similar optimizers have different hues.
_KNOWN = {
    "sgd": (BLUE, 0), "adam": (VERMILION, 0), "adamw": (GREEN, 0), "rmsprop": (ORANGE, 0),
    "muon": (PURPLE, 0), "lion": (SKY, 0), "adagrad": (INK, 0),
    "nadam": (SKY, 1), "radam": (ORANGE, 1), "adamax": (PURPLE, 1), "adadelta": (GREEN, 1),
    "adafactor": (BLUE, 1), "lbfgs": (INK, 1), "rprop": (VERMILION, 1),
    "asgd": (ORANGE, 2), "schedulefree_adamw": (GREEN, 2), "sam": (PURPLE, 2),
    "sophia": (BLUE, 2), "sparse_adam": (VERMILION, 2),
}  # fmt: skip


@dataclass(frozen=True)
class Look:
    """The style of a line.

    Attributes:
        colour: ``#rrggbb``.
        dashes: lengths on and off, in line widths; empty for a solid line.
        marker: of its points.
    """

    colour: str
    dashes: tuple[float, ...]
    marker: str

    @property
    def linestyle(self) -> str | tuple[float, tuple[float, ...]]:
        """The ``linestyle`` argument of matplotlib."""
        return (0.0, self.dashes) if self.dashes else "-"


def looks(settings: Iterable[Setting]) -> dict[str, Look]:
    """The line style of each method, by the method's name.

    A method named like its optimizer has that optimizer's style. Several methods of one optimizer
    (schedules, groups) have its colour with different dashes, as long as there are dashes. With
    only one optimizer, each method has its own colour. The style of an unknown optimizer follows
    from its name; if it is taken, the next free style is used.
    """
    by_method = {setting.method: setting.optimizer for setting in settings}
    optimizers = set(by_method.values())
    taken: set[tuple[str, int]] = set()
    found: dict[str, tuple[str, int]] = {}
    for method, optimizer in sorted(by_method.items(), key=lambda item: (item[0] != item[1], item)):
        key = optimizer if len(optimizers) > 1 else method
        hue, dash = _KNOWN.get(key.rpartition(".")[2].lower(), _from_name(key))
        own = [(hue, (dash + turn) % 3) for turn in range(3)]
        place = HUES.index(hue)
        others = [(HUES[(place + step) % 7], turn) for turn in range(3) for step in range(1, 7)]
        found[method] = next((slot for slot in (*own, *others) if slot not in taken), own[0])
        taken.add(found[method])
    return {method: Look(hue, DASHES[dash], MARKERS[dash]) for method, (hue, dash) in found.items()}


def ordered_looks(count: int) -> list[Look]:
    """Styles for the ordered values of one method: blue (low), purple, orange (high)."""
    stops = [_rgb(BLUE), _rgb(PURPLE), _rgb(ORANGE)]
    colours = []
    for index in range(count):
        position = 2 * index / max(count - 1, 1)
        below = min(int(position), 1)
        share = position - below
        ends = zip(stops[below], stops[below + 1], strict=True)
        mixed = [round(low + share * (high - low)) for low, high in ends]
        colours.append("#{:02X}{:02X}{:02X}".format(*mixed))
    return [Look(colour, SOLID, MARKERS[0]) for colour in colours]


def _from_name(name: str) -> tuple[str, int]:
    number = zlib.crc32(name.encode())
    return HUES[number % 7], number // 7 % 3


def _rgb(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[at : at + 2], 16) for at in (1, 3, 5))
