"""TensorBoard event files written in one go, many times as fast as by a SummaryWriter."""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import count
from pathlib import Path

import google_crc32c
import numpy as np
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.text import plugin_data_pb2 as text_pb2

_LARGEST = float(np.finfo(np.float32).max)  # TensorBoard's scalars are float32
_PREFIX = "events.out.tfevents."
_OF_REPORT = ".report"  # the end of the names of a report's files
_NUMBER = count()
_UINT32 = struct.Struct("<I")


def write_event_file(
    folder: Path,
    curves: Mapping[str, tuple[np.ndarray, np.ndarray]],
    *,
    start: float,
    seconds_per_step: float = 0.0,
    summaries: Sequence[Summary] = (),
) -> None:
    """Write curves into a new TensorBoard run.

    An event holds all tags of a step, so that a file is a quarter of the size of one by
    ``SummaryWriter.add_scalar``.

    Args:
        folder: of the run; created if it does not exist.
        curves: ``{tag: (steps [n], values [n])}``. Values that are not finite are skipped.
        start: Unix time of the first event, in seconds.
        seconds_per_step: between two events, for TensorBoard's axis of relative time.
        summaries: written before the curves.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # A running server reads a file with a later name as newer data, and not as the old file.
    with (folder / f"{_PREFIX}{time.time_ns()}{_OF_REPORT}").open("wb") as stream:
        stream.write(version_record(start))
        for summary in summaries:
            stream.write(summary_record(summary, 0, start))
        rows: dict[int, list[Summary.Value]] = {}
        for tag, (steps, values) in curves.items():
            kept = np.abs(values) <= _LARGEST
            for step, value in zip(steps[kept].tolist(), values[kept].tolist(), strict=True):
                rows.setdefault(step, []).append(Summary.Value(tag=tag, simple_value=value))
        for step in sorted(rows):
            when = start + step * seconds_per_step
            stream.write(summary_record(Summary(value=rows[step]), step, when))


def remove_run(folder: Path) -> None:
    """Remove what :func:`write_event_file` has written, and the folder if nothing else is in it."""
    for file in folder.glob(f"{_PREFIX}*{_OF_REPORT}"):
        file.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()


def first_event_time(folder: Path) -> float | None:
    """Unix time of a run's first event, in seconds; None without an event file."""
    times = []
    for file in folder.glob(f"{_PREFIX}*"):
        with file.open("rb") as stream:
            head = stream.read(12 + 9)  # the record's length, and its first field: the time
        if len(head) == 21 and head[12] == 0x09:
            times.append(struct.unpack("<d", head[13:])[0])
    return min(times, default=None)


def text_summary(tag: str, markdown: str) -> Summary:
    """A text for the TEXT tab, as ``torch.utils.tensorboard`` writes it, without loading torch."""
    content = text_pb2.TextPluginData(version=0).SerializeToString()
    size = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
    return _string_summary(f"{tag}/text_summary", "text", markdown.encode(), content, size)


def layout_summary(categories: Mapping[str, Mapping[str, Sequence[str]]]) -> Summary:
    """The layout of the CUSTOM SCALARS tab: charts of a line in a band.

    Args:
        categories: ``{category: {title of a chart: [tag of the line, of the lower and of the upper
            end]}}``. TensorBoard 2.21 shows the charts of a category in reverse order, which is
            reversed here.
    """
    layout = layout_pb2.Layout()
    for category, charts in categories.items():
        shown = layout.category.add(title=category)
        for title, (value, lower, upper) in reversed(list(charts.items())):
            chart = shown.chart.add(title=title)
            chart.margin.series.add(value=value, lower=lower, upper=upper)
    tag = "custom_scalars__config__"
    return _string_summary(tag, "custom_scalars", layout.SerializeToString(), b"", None)


def _string_summary(
    tag: str, plugin: str, value: bytes, content: bytes, shape: TensorShapeProto | None
) -> Summary:
    data = SummaryMetadata.PluginData(plugin_name=plugin, content=content)
    tensor = TensorProto(
        dtype="DT_STRING", string_val=[value], tensor_shape=shape or TensorShapeProto()
    )
    metadata = SummaryMetadata(plugin_data=data)
    return Summary(value=[Summary.Value(tag=tag, tensor=tensor, metadata=metadata)])


def new_event_file(folder: Path) -> Path:
    """The path of an event file, with a name that no other writer uses."""
    name = f"{_PREFIX}{int(time.time())}.{socket.gethostname()}"
    return folder / f"{name}.{os.getpid()}.{next(_NUMBER)}"


def append_summary(folder: Path, summary: Summary, step: int) -> None:
    """Add a summary to the newest event file of a run that has ended; without a file, nothing."""
    files = sorted(folder.glob(f"{_PREFIX}*"), key=lambda file: file.stat().st_mtime_ns)
    if files:
        with files[-1].open("ab") as stream:
            stream.write(summary_record(summary, step, time.time()))


def version_record(wall_time: float) -> bytes:
    """The record that every event file begins with."""
    return framed(Event(wall_time=wall_time, file_version="brain.Event:2").SerializeToString())


def summary_record(summary: Summary, step: int, wall_time: float) -> bytes:
    """The record of a summary, such as a text or a row of HPARAMS."""
    return framed(Event(wall_time=wall_time, step=step, summary=summary).SerializeToString())


def scalar_records(
    tables: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]],
    runs: Sequence[int],
    times: Mapping[int, tuple[float, float]],
) -> dict[int, list[bytes]]:
    """The records of all scalars of many runs, one record for each run and step.

    Args:
        tables: by tag the steps [steps], the values [runs, steps], and whether a value was logged
            [runs, steps].
        runs: the runs to write.
        times: by run, when it began (Unix time) and the seconds per step.

    Returns:
        By run: its records in the order of the steps.
    """
    numbers = np.array(runs)
    began = np.array([times[run][0] for run in runs])
    per_step = np.array([times[run][1] for run in runs])
    found: dict[int, list[bytes]] = {run: [] for run in runs}
    for step, tags, which, values in _rows(tables, numbers):
        events = _scalar_events(step, tags, values, began[which] + step * per_step[which])
        for index, event in zip(which.tolist(), events, strict=True):
            found[runs[index]].append(framed(event))
    return found


def framed(data: bytes) -> bytes:
    """Data as a record: its length, the length's checksum, the data, and the data's checksum."""
    return _header(len(data)) + data + _checksum(data)


@lru_cache
def _header(length: int) -> bytes:
    packed = struct.pack("<Q", length)
    return packed + _checksum(packed)


def _checksum(data: bytes) -> bytes:
    """The masked CRC-32C of TFRecord files, little-endian."""
    crc = google_crc32c.value(data)
    return _UINT32.pack(((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _rows(
    tables: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]], runs: np.ndarray
) -> Iterator[tuple[int, list[str], np.ndarray, np.ndarray]]:
    """Step, tags, the positions in ``runs`` that have exactly these tags, and the values."""
    columns = {
        tag: {step: column for column, step in enumerate(steps.tolist())}
        for tag, (steps, *_) in tables.items()
    }
    for step in sorted({step for own in columns.values() for step in own}):
        tags = [tag for tag, own in columns.items() if step in own]
        found = [(tables[tag], columns[tag][step]) for tag in tags]
        values = np.stack([table[1][runs, column] for table, column in found], axis=1)
        given = np.stack([table[2][runs, column] for table, column in found], axis=1)
        if given.all():
            yield step, tags, np.arange(len(runs)), values
            continue
        patterns, kinds = np.unique(given, axis=0, return_inverse=True)
        for kind, pattern in enumerate(patterns):
            which = np.flatnonzero(kinds.reshape(-1) == kind)
            if pattern.any():
                named = [tag for tag, exists in zip(tags, pattern, strict=True) if exists]
                yield step, named, which, values[which][:, pattern]


def _scalar_events(
    step: int, tags: Sequence[str], values: np.ndarray, times: np.ndarray
) -> list[bytes]:
    """Serialised events with the values [rows, tags] of one step at ``times`` [rows]."""
    # protobuf serialises one event, whose numbers are then replaced in its bytes.
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
    size, content = rows.shape[1], rows.tobytes()
    return [content[first : first + size] for first in range(0, len(content), size)]
