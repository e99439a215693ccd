"""Whether a larger or a smaller value of a metric is better."""

from __future__ import annotations

_LARGER_IS_BETTER = {"acc", "accuracy", "auroc", "f1", "precision", "recall", "r2"}


def larger_is_better(tag: str, monitor: str, mode: str) -> bool:
    """Whether a larger value of ``tag`` is better: ``mode`` decides for the monitor."""
    return mode == "max" if tag == monitor else tag.split("/")[-1] in _LARGER_IS_BETTER
