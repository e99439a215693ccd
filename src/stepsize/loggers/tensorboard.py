"""Lightning's TensorBoard logger, with one event for each row and a row in HPARAMS."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.utilities import rank_zero_only
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary

from stepsize.loggers.hparams import flattened, result_scalars, session_end, session_start
from stepsize.loggers.tags import board_tag

_SECONDS_BETWEEN_FLUSHES = 2.0


class RowLogger(TensorBoardLogger):
    """Lightning's logger into one given folder, writing the scalars of a row as one event.

    An event per scalar, as in ``SummaryWriter.add_scalar``, takes several times as long.
    Lightning's hparams.yaml is not written: ``.hydra`` has the whole configuration. A run is a row
    of the HPARAMS tab from ``log_hyperparams`` on; ``close_session`` writes its status.

    Args:
        folder: the run's folder; TensorBoard shows its path below ``--logdir``.
    """

    def __init__(self, folder: str) -> None:
        super().__init__(save_dir=folder, name="", version="", default_hp_metric=False)
        self._flushed = time.monotonic()
        self._in_session = False

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        values = [
            Summary.Value(tag=board_tag(tag), simple_value=float(value))
            for tag, value in metrics.items()
            if tag != "epoch"
        ]
        event = Event(wall_time=time.time(), step=step or 0, summary=Summary(value=values))
        self.experiment._get_file_writer().event_writer.add_event(event)

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, group: str = "", **kwargs: Any) -> None:
        """Begin the run's row of the HPARAMS tab.

        Only the first call counts, as for TensorBoard. Lightning's own method would mark the run as
        a success before it has begun.

        Args:
            params: the columns; nested mappings become dotted names.
            *args: metrics; ignored, because they are the run's scalars.
            group: name of the row, which all seeds of a setting share; "" for a row of its own.
            **kwargs: ignored too.
        """
        if self._in_session:
            return
        self._in_session = True
        columns = dict(flattened(params if isinstance(params, Mapping) else vars(params)))
        self.experiment._get_file_writer().add_summary(session_start(columns, group))
        self.experiment.flush()  # so that a killed run has its row too

    @rank_zero_only
    def close_session(self, result: Mapping[str, Any]) -> None:
        """End the run's row, and the file.

        Args:
            result: what ``result.json`` holds.
        """
        self.log_metrics(result_scalars(result), result["steps"])
        status = result["status"] + (f": {result['reason']}" if result["reason"] else "")
        self.experiment.add_text("result", status, result["steps"])
        self.experiment._get_file_writer().add_summary(session_end(result["status"]))
        self._in_session = False
        self.finalize(result["status"])

    def save(self) -> None:
        """Flush every few seconds; Lightning calls this at every row, and flushing is slow."""
        if time.monotonic() - self._flushed > _SECONDS_BETWEEN_FLUSHES:
            self.experiment.flush()
            self._flushed = time.monotonic()

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Flush, and close the file if the row has ended; later events would open a second file."""
        if self._in_session:
            self.experiment.flush()
        else:
            super().finalize(status)
