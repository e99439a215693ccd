"""Event files written in one go are those that TensorBoard's own writer and reader know."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.summary.writer.record_writer import RecordWriter

from stepsize.loggers.event_file import framed, scalar_records, version_record


@pytest.mark.parametrize("length", [0, 1, 8, 300])
def test_a_record_equals_that_of_tensorboard_s_writer(length: int) -> None:
    data = np.random.default_rng(length).bytes(length)
    stream = io.BytesIO()
    RecordWriter(stream).write(data)
    assert framed(data) == stream.getvalue()


def test_a_run_has_only_the_scalars_that_it_logged(tmp_path: Path) -> None:
    loss = np.array([[1.0, 2.0], [3.0, 4.0]])
    given = np.ones((2, 2), bool)
    given[1, 1] = False
    tables = {
        "loss": (np.array([0, 10]), loss, given),
        "lr": (np.array([10]), loss[:, :1], given[:, :1]),
    }
    records = scalar_records(tables, [0, 1], {0: (1e9, 1.0), 1: (1e9, 0.5)})
    found = []
    for run in (0, 1):
        file = tmp_path / f"events.out.tfevents.{run}"
        file.write_bytes(b"".join((version_record(1e9), *records[run])))
        events = list(EventFileLoader(str(file)).Load())[1:]
        found.append(
            [
                (event.step, event.wall_time, value.tag, value.tensor.float_val[0])
                for event in events
                for value in event.summary.value
            ]
        )
    assert found == [
        [(0, 1e9, "loss", 1.0), (10, 1e9 + 10, "loss", 2.0), (10, 1e9 + 10, "lr", 1.0)],
        [(0, 1e9, "loss", 3.0), (10, 1e9 + 5, "lr", 3.0)],
    ]
