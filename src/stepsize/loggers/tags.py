"""The names that metrics have in TensorBoard, which opens on the first two groups of tags."""

from __future__ import annotations

# TensorBoard sorts groups, the part of a tag before its first slash. What is not a loss or a score
# comes after "val", so that a run opens on train/... and val/...
_WATCHED = ("lr/", "grad_norm/", "update_ratio/")
_FIRST = "compare"  # the group of a report's comparison, see stepsize.report.tensorboard


def board_tag(tag: str) -> str:
    """The tag of a metric in TensorBoard.

    ``watch/lr/head`` of ``lr/head``; ``value/acc`` of a tag that would sort before a report's
    comparison; of any other its own.
    """
    if tag.startswith(_WATCHED):
        return f"watch/{tag}"
    return f"value/{tag}" if tag.partition("/")[0] < _FIRST else tag
