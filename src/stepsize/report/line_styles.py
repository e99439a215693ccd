"""Colours and dashes of lines: an optimizer looks the same in every figure of every report."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from stepsize.plots.style import BLUE, GREEN, INK, ORANGE, PURPLE, SKY, VERMILION
from stepsize.report.labels import Setting

# Colours for colour-blind readers, without yellow, which is invisible on white. INK is the page's
# text colour, so that it is light in dark mode.
HUES = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, INK)
SOLID, DASHED, DOTTED = (), (4.0, 1.6), (1.2, 1.4)  # in line widths: on, off
DASHES = (SOLID, DASHED, DOTTED)
MARKERS = ("o", "s", "^")  # one per dash

# Optimizers that are often compared are solid, and similar ones differ in hue.
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
    """How a line is drawn.

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
        """As matplotlib takes it."""
        return (0.0, self.dashes) if self.dashes else "-"


def looks(settings: Iterable[Setting]) -> dict[str, Look]:
    """A look for each method, by its name.

    Several methods of one optimizer (schedules, parameter groups) share its colour and differ in
    dashes; if there is only one optimizer, they differ in colour. An unknown optimizer gets a look
    from a hash of its name, or the next free look if that one is taken.
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
    """Looks for ordered values of one method, from low (blue) over purple to high (orange)."""
    from matplotlib.colors import LinearSegmentedColormap, to_hex

    colours = LinearSegmentedColormap.from_list("low to high", (BLUE, PURPLE, ORANGE), N=513)
    shares = [index / max(count - 1, 1) for index in range(count)]
    return [Look(to_hex(colours(share)).upper(), SOLID, MARKERS[0]) for share in shares]


def _from_name(name: str) -> tuple[str, int]:
    number = zlib.crc32(name.encode())
    return HUES[number % 7], number // 7 % 3
