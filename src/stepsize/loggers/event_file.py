"""Whole curves as a TensorBoard run, written in one go."""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary

from stepsize.vectorized.recording import Curves

if TYPE_CHECKING:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

_LARGEST = float(np.finfo(np.float32).max)  # TensorBoard's scalars are float32
_PREFIX = "events.out.tfevents."


def write_event_file(
    folder: Path,
    curves: Mapping[str, tuple[np.ndarray, np.ndarray]],
    layout: Summary | None = None,
) -> None:
    """Write curves into a new run.

    An event holds all tags of a step: several times as fast as ``SummaryWriter.add_scalar``, and a
    quarter of the size.

    Args:
        folder: is made, and becomes the run.
        curves: ``{tag: (steps [n], values [n])}``. What is not finite is left out.
        layout: charts of the CUSTOM SCALARS tab, from ``torch.utils.tensorboard.summary``.
    """
    from tensorboard.summary.writer.record_writer import RecordWriter

    folder.mkdir(parents=True)
    # A server that is looking on takes a file with a later name for news, and not for the old one.
    with (folder / f"{_PREFIX}{time.time_ns()}.report").open("wb") as stream:
        writer = RecordWriter(stream)
        for event in _events(curves, layout):
            event.wall_time = time.time()
            writer.write(event.SerializeToString())


def remove_run(folder: Path) -> None:
    """Remove a run that holds nothing but what :func:`write_event_file` writes.

    Raises:
        OSError: there is something else in the folder.
    """
    if folder.is_dir():
        for file in folder.glob(f"{_PREFIX}*"):
            file.unlink()
        folder.rmdir()


def _events(
    curves: Mapping[str, tuple[np.ndarray, np.ndarray]], layout: Summary | None
) -> Iterator[Event]:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

    yield Event(file_version="brain.Event:2")
    if layout is not None:
        yield Event(summary=layout)
    rows: dict[int, list[Summary.Value]] = {}
    for tag, (steps, values) in curves.items():
        kept = np.abs(values) <= _LARGEST
        for step, value in zip(steps[kept].tolist(), values[kept].tolist(), strict=True):
            rows.setdefault(step, []).append(Summary.Value(tag=tag, simple_value=value))
    for step in sorted(rows):
        yield Event(step=step, summary=Summary(value=rows[step]))


_POLYNOMIAL = 0x82F63B78  # of CRC-32C (Castagnoli), bits reversed
_NUMBER = count()


def _table() -> np.ndarray:
    entries = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        entries = np.where(entries & 1, (entries >> 1) ^ np.uint32(_POLYNOMIAL), entries >> 1)
    return entries


_TABLE = _table()


def masked_crc32c(texts: np.ndarray) -> np.ndarray:
    """The masked CRC-32C of byte strings of one length.

    Args:
        texts: uint8, [texts, length].

    Returns:
        uint32, [texts].
    """
    crc = np.full(len(texts), 0xFFFFFFFF, dtype=np.uint32)
    for column in np.ascontiguousarray(texts.T):
        crc = _TABLE[(crc ^ column) & 0xFF] ^ (crc >> np.uint32(8))
    crc = ~crc
    return ((crc >> np.uint32(15)) | (crc << np.uint32(17))) + np.uint32(0xA282EAD8)


def framed(texts: np.ndarray) -> np.ndarray:
    """Byte strings of one length as records.

    Args:
        texts: uint8, [texts, length].

    Returns:
        uint8, [texts, length + 16].
    """
    number, length = texts.shape
    header = np.frombuffer(struct.pack("<Q", length), np.uint8)[None]
    records = np.empty((number, length + 16), np.uint8)
    records[:, :8] = header
    records[:, 8:12] = _bytes_of(masked_crc32c(header))
    records[:, 12:-4] = texts
    records[:, -4:] = _bytes_of(masked_crc32c(texts))
    return records


def records_of(texts: Sequence[bytes]) -> list[bytes]:
    """Byte strings as records; those of one length all at once."""
    by_length: dict[int, list[int]] = {}
    for index, text in enumerate(texts):
        by_length.setdefault(len(text), []).append(index)
    found = [b""] * len(texts)
    for length, indices in by_length.items():
        together = b"".join(texts[index] for index in indices)
        records = framed(np.frombuffer(together, np.uint8).reshape(len(indices), length))
        for index, record in zip(indices, records, strict=True):
            found[index] = record.tobytes()
    return found


def row_events(
    curves: Curves, runs: Sequence[int], times: Mapping[int, tuple[float, float]]
) -> dict[int, list[bytes]]:
    """All rows, an event for each.

    Args:
        curves: what was logged.
        runs: of which runs.
        times: when each run began, in seconds since 1970, and how long a step took.

    Returns:
        By run: the records of its events, in the order of their steps.
    """
    numbers = np.array(runs)
    began = np.array([times[run][0] for run in runs])
    per_step = np.array([times[run][1] for run in runs])
    owners, events = [], []
    for step, tags, which, values in _rows(curves, numbers):
        owners.append(which)
        events.append(_scalar_events(step, tags, values, began[which] + step * per_step[which]))
    found: dict[int, list[bytes]] = {run: [] for run in runs}
    for which, records in zip(owners, _framed_by_length(events), strict=True):
        size, everything = records.shape[1], records.tobytes()
        for place, index in enumerate(which.tolist()):
            found[runs[index]].append(everything[place * size : (place + 1) * size])
    return found


def _framed_by_length(events: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Each array of events [n, length] as records; numpy's calls are shared by equal lengths."""
    by_length: dict[int, list[int]] = {}
    for index, rows in enumerate(events):
        by_length.setdefault(rows.shape[1], []).append(index)
    found = list(events)
    for indices in by_length.values():
        records = framed(np.concatenate([events[index] for index in indices]))
        bounds = np.cumsum([len(events[index]) for index in indices])[:-1]
        for index, part in zip(indices, np.split(records, bounds), strict=True):
            found[index] = part
    return found


def event(summary: Summary, step: int, wall_time: float) -> bytes:
    """Another summary, such as a text or a row of HPARAMS."""
    return Event(wall_time=wall_time, step=step, summary=summary).SerializeToString()


def opening(wall_time: float) -> bytes:
    """The event that every file begins with."""
    return Event(wall_time=wall_time, file_version="brain.Event:2").SerializeToString()


def event_file(folder: Path) -> Path:
    """A name for an event file that no other writer takes."""
    name = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}"
    return folder / f"{name}.{os.getpid()}.{next(_NUMBER)}"


def _bytes_of(checksums: np.ndarray) -> np.ndarray:
    """Little-endian, uint8 [texts, 4]."""
    return checksums.astype("<u4")[:, None].view(np.uint8)


def _rows(curves: Curves, runs: np.ndarray) -> Iterable[tuple[int, list[str], np.ndarray, Any]]:
    """Each step, its tags, which of ``runs`` have just these (positions), and the values."""
    places = {
        tag: {step: column for column, step in enumerate(steps.tolist())}
        for tag, (steps, *_) in curves.tables.items()
    }
    for step in sorted({step for columns in places.values() for step in columns}):
        tags = [tag for tag, columns in places.items() if step in columns]
        tables = [(curves.tables[tag], places[tag][step]) for tag in tags]
        values = np.stack([table[1][runs, column] for table, column in tables], axis=1)
        given = np.stack([table[2][runs, column] for table, column in tables], axis=1)
        patterns, kinds = np.unique(given, axis=0, return_inverse=True)
        for kind, pattern in enumerate(patterns):
            which = np.flatnonzero(kinds.reshape(-1) == kind)
            if pattern.any():
                named = [tag for tag, there in zip(tags, pattern, strict=True) if there]
                yield step, named, which, values[which][:, pattern]


def _scalar_events(
    step: int, tags: Sequence[str], values: np.ndarray, times: np.ndarray
) -> np.ndarray:
    """Events with the values [rows, tags] of one step, serialised: uint8 [rows, length]."""
    # One event from protobuf itself, with numbers that are found again in its bytes.
    marks = [np.float32(-1.5e30 * (1 + index / 1024)) for index in range(len(tags))]
    when = -1.5e300
    summary = Summary(
        value=[
            Summary.Value(tag=tag, simple_value=float(mark))
            for tag, mark in zip(tags, marks, strict=True)
        ]
    )
    one = Event(wall_time=when, step=step, summary=summary).SerializeToString()
    rows = np.tile(np.frombuffer(one, dtype=np.uint8), (len(values), 1))
    with np.errstate(over="ignore"):
        single = values.astype("<f4")
    for index, mark in enumerate(marks):
        start = one.index(mark.astype("<f4").tobytes())
        rows[:, start : start + 4] = single[:, index : index + 1].copy().view(np.uint8)
    start = one.index(struct.pack("<d", when))
    rows[:, start : start + 8] = times.astype("<f8")[:, None].view(np.uint8)
    return rows
