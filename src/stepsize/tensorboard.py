"""TensorBoard's side of a run."""

from __future__ import annotations

import time
from collections.abc import Mapping

from pytorch_lightning.loggers import TensorBoardLogger
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary

_SECONDS_BETWEEN_FLUSHES = 2.0


class RowLogger(TensorBoardLogger):
    """Lightning's logger into one given folder, writing the scalars of a row as one event.

    An event per scalar, as in ``SummaryWriter.add_scalar``, takes several times as long.
    Lightning's hparams.yaml is not written: the whole configuration is in ``.hydra``.

    Args:
        folder: the run's own, whose path below ``--logdir`` is the name that TensorBoard shows.
    """

    def __init__(self, folder: str) -> None:
        super().__init__(save_dir=folder, name="", version="", default_hp_metric=False)
        self._flushed = time.monotonic()

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        values = [
            Summary.Value(tag=tag, simple_value=float(value))
            for tag, value in metrics.items()
            if tag != "epoch"
        ]
        event = Event(wall_time=time.time(), step=step or 0, summary=Summary(value=values))
        self.experiment._get_file_writer().event_writer.add_event(event)

    def save(self) -> None:
        """Flush every few seconds: Lightning asks for it at every row, and it waits for disk."""
        if time.monotonic() - self._flushed > _SECONDS_BETWEEN_FLUSHES:
            self.experiment.flush()
            self._flushed = time.monotonic()
