"""Sharing the runs of a stack out among optimizers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from stepsize.vectorized.eligible import ELEMENTWISE
from stepsize.vectorized.layout import Layout
from stepsize.vectorized.separate_update import SeparateUpdate
from stepsize.vectorized.setting import Setting
from stepsize.vectorized.shared_update import SharedUpdate
from stepsize.vectorized.update import Update


def make_updates(
    settings: Sequence[Setting], layout: Layout, owners: Sequence[int]
) -> tuple[list[Update], list[int]]:
    """Share the runs out among as few optimizers as their arithmetic allows.

    Args:
        settings: all settings.
        layout: of the parameters.
        owners: the setting of each run, [runs].

    Returns:
        The updates, and the order of the runs in which each has neighbouring rows.
    """
    families: dict[Any, list[int]] = {}
    for index, setting in enumerate(settings):
        shared = type(setting.optimizer) in ELEMENTWISE and setting.family
        families.setdefault((shared,) if shared else (None, index), []).append(index)
    updates: list[Update] = []
    order: list[int] = []
    for members in families.values():
        place = {index: position for position, index in enumerate(members)}
        runs = [run for run, owner in enumerate(owners) if owner in place]
        mine = [settings[index] for index in members]
        elementwise = type(mine[0].optimizer) in ELEMENTWISE
        kind: Callable[..., Update] = SharedUpdate if elementwise else SeparateUpdate
        updates.append(kind(mine, np.array([place[owners[run]] for run in runs]), layout))
        order += runs
    return updates, order
