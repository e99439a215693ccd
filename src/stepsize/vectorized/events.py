"""TensorBoard's event files of many runs, their scalars framed and checksummed all at once.

A record is a length, its checksum, the bytes and their checksum (TensorFlow's record_writer.cc).
The checksum is CRC-32C, which tensorboard computes byte by byte in Python: seconds for a sweep.
The rows of different runs differ in their numbers alone, so numpy goes through them abreast.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary

from stepsize.vectorized.curves import Curves

_POLYNOMIAL = 0x82F63B78  # of CRC-32C (Castagnoli), bits reversed
_NUMBER = count()


def _table() -> np.ndarray:
    entries = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        entries = np.where(entries & 1, (entries >> 1) ^ np.uint32(_POLYNOMIAL), entries >> 1)
    return entries


_TABLE = _table()


def masked_crc32c(texts: Sequence[bytes]) -> np.ndarray:
    """The masked CRC-32C of each byte string, uint32 [texts]."""
    lengths = np.array([len(text) for text in texts])
    order = np.argsort(-lengths, kind="stable")
    longest = int(lengths.max(initial=0))
    # A column for each text, the longest first, so that those that go on are the first ones.
    padded = b"".join(texts[index].ljust(longest, b"\0") for index in order)
    columns = np.frombuffer(padded, np.uint8).reshape(len(texts), longest).T
    counts = np.searchsorted(-lengths[order], -np.arange(longest), side="left")
    crc = np.full(len(texts), 0xFFFFFFFF, dtype=np.uint32)
    for column, going_on in zip(np.ascontiguousarray(columns), counts.tolist(), strict=True):
        part = crc[:going_on]
        crc[:going_on] = _TABLE[(part ^ column[:going_on]) & 0xFF] ^ (part >> np.uint32(8))
    crc = ~crc
    masked = ((crc >> np.uint32(15)) | (crc << np.uint32(17))) + np.uint32(0xA282EAD8)
    found = np.empty_like(masked)
    found[order] = masked
    return found


def framed(texts: Sequence[bytes]) -> list[bytes]:
    """Each byte string as a record."""
    known = {length: struct.pack("<Q", length) for length in {len(text) for text in texts}}
    sums = masked_crc32c(list(known.values())).astype("<u4")
    heads = {
        length: header + checksum.tobytes()
        for (length, header), checksum in zip(known.items(), sums, strict=True)
    }
    ends = masked_crc32c(texts).astype("<u4").tobytes()
    return [
        heads[len(text)] + text + ends[4 * index : 4 * index + 4]
        for index, text in enumerate(texts)
    ]


def row_events(
    curves: Curves, runs: Sequence[int], times: Mapping[int, tuple[float, float]]
) -> dict[int, list[bytes]]:
    """All rows, an event for each.

    Args:
        curves: what was logged.
        runs: of which runs.
        times: when each run began, in seconds since 1970, and how long a step took.

    Returns:
        By run: its events, serialised, in the order of their steps.
    """
    numbers = np.array(runs)
    began = np.array([times[run][0] for run in runs])
    per_step = np.array([times[run][1] for run in runs])
    found: dict[int, list[bytes]] = {run: [] for run in runs}
    for step, tags, which, values in _rows(curves, numbers):
        rows = _events(step, tags, values, began[which] + step * per_step[which])
        size, everything = rows.shape[1], rows.tobytes()
        for place, index in enumerate(which.tolist()):
            found[runs[index]].append(everything[place * size : (place + 1) * size])
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


def _rows(curves: Curves, runs: np.ndarray) -> Iterable[tuple[int, list[str], np.ndarray, Any]]:
    """Each step, its tags, which of ``runs`` have just these (positions), and the values."""
    places = {
        tag: dict(zip(s, range(len(s)), strict=True)) for tag, (s, *_) in curves.tables.items()
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


def _events(step: int, tags: Sequence[str], values: np.ndarray, times: np.ndarray) -> np.ndarray:
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
