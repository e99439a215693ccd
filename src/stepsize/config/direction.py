"""Which way is better: most metrics shall be small, some large."""

from __future__ import annotations

_LARGER_IS_BETTER = {"acc", "accuracy", "auroc", "f1", "precision", "recall", "r2"}


def larger_is_better(tag: str, monitor: str, mode: str) -> bool:
    """Whether more of ``tag`` is better: as ``mode`` says of the monitor, else by its name."""
    return mode == "max" if tag == monitor else tag.split("/")[-1] in _LARGER_IS_BETTER
