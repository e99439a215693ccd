"""The names that metrics have in TensorBoard, which opens on the first two groups of tags."""

from __future__ import annotations

# TensorBoard sorts groups, the part of a tag before its first slash, by the alphabet. What is not a
# loss or a score comes after "val", so that a run opens on train/... and val/...
_WATCHED = ("lr/", "grad_norm/", "update_ratio/")


def board_tag(tag: str) -> str:
    """The tag of a metric in TensorBoard: ``watch/lr/head`` of ``lr/head``; of a loss its own."""
    return f"watch/{tag}" if tag.startswith(_WATCHED) else tag
