"""The curves of many runs, as one table of numbers per tag."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np


class Curves:
    """What is logged, for all runs of a group at once.

    Args:
        runs: how many there are.
    """

    def __init__(self, runs: int) -> None:
        self.runs = runs
        # For each tag: step, which runs have a value there, and these.
        self._entries: dict[str, list[tuple[int, np.ndarray, np.ndarray]]] = {}

    def add(self, step: int, tag: str, runs: np.ndarray, values: np.ndarray) -> None:
        """Log ``values`` [n] of the runs with the numbers ``runs`` [n] in the row of ``step``."""
        if len(runs):
            self._entries.setdefault(tag, []).append((step, runs, np.asarray(values, np.float64)))

    @cached_property
    def tables(self) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """By tag: its steps [steps], the values [runs, steps], and where there is one, likewise.

        For use when everything is logged.
        """
        tables = {}
        for tag, entries in self._entries.items():
            steps = sorted({step for step, _, _ in entries})
            column = {step: position for position, step in enumerate(steps)}
            values = np.full((self.runs, len(steps)), np.nan)
            given = np.zeros((self.runs, len(steps)), dtype=bool)
            for step, runs, numbers in entries:
                values[runs, column[step]] = numbers
                given[runs, column[step]] = True
            tables[tag] = (np.array(steps), values, given)
        return tables

    def rows(self, run: int, tags: Sequence[str] | None = None) -> dict[int, dict[str, float]]:
        """``{step: {tag: value}}`` of one run; tags in the order in which they came up."""
        rows: dict[int, dict[str, float]] = {}
        for tag in self.tables if tags is None else tags:
            steps, values, given = self.tables[tag]
            numbers, there = values[run].tolist(), given[run].tolist()
            for step, value, exists in zip(steps.tolist(), numbers, there, strict=True):
                if exists:
                    rows.setdefault(step, {})[tag] = value
        return dict(sorted(rows.items()))
