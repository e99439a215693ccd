"""A run as a row of TensorBoard's HPARAMS tab: hyperparameters, status and final metrics.

TensorBoard takes a row's columns from ``session_start_info`` and its status from
``session_end_info``; a row without the latter belongs to a run that is still training, or was
killed. ``_hparams_/experiment`` is not written: TensorBoard would read it from one run and hide the
columns of all other optimizers. Without it TensorBoard unites the columns of all runs, and the
metrics are the scalar tags. TensorBoard uses the first ``session_start_info`` of a run, so that it
is written once.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

# These decide where a run is computed and what is shown, not its numbers.
_TRAINER_DISPLAY = (
    "_target_", "accelerator", "devices", "num_nodes", "strategy", "profiler", "log_every_n_steps",
    "val_check_interval", "check_val_every_n_epoch", "num_sanity_val_steps", "enable_model_summary",
)  # fmt: skip
_NO_COLUMNS = {
    "optimizer": (
        "_target_",
        "params",
        "lr",
    ),  # lr has a column of its own
    "scheduler": ("_target_",),
    "data": ("shuffle_seed",),  # the run's seed
    "trainer": _TRAINER_DISPLAY,
    "callbacks": ("divergence", "norms", "checkpoint", "progress", "plot"),
}
_LARGEST = 3.4e38  # scalars are float32


def hparams_of(
    config: Mapping[str, Any], choices: Mapping[str, str], overrides: Sequence[str]
) -> dict[str, Any]:
    """The hyperparameters that decide a run's numbers, without the seed.

    TensorBoard shows five columns, those whose values differ first and by the alphabet, and its
    parallel coordinates drop every run that lacks one of them. Therefore an overridden value has
    its key on the command line, which all runs of a grid share, and a value of a chosen file has
    the name of that file, so that it differs from no other run, and comes last in the alphabet:
    ``with adam.eps``, ``with digits.model.net.widths``.

    Args:
        config: the whole configuration as plain containers.
        choices: the chosen files: ``{"optimizer": "adam"}``.
        overrides: those of the command line and of the sweep.

    Returns:
        ``{"optimizer": "adam", "lr": 1e-3, "with adam.eps": 1e-8 ...}``: strings, numbers and
        booleans. Lists are text; null values are omitted.
    """
    keys = [override.lstrip("+~").partition("=")[0] for override in overrides]
    given = [key for key in keys if "." in key or key == "monitor"]  # others choose a file

    def columns(group: str, file: str) -> Iterator[tuple[str, Any]]:
        values = config.get(group)
        omitted = _NO_COLUMNS.get(group, ())
        kept = {key: v for key, v in values.items() if key not in omitted} if values else {}
        for key, value in flattened(kept, f"{group}."):
            is_given = any(key == each or key.startswith(f"{each}.") for each in given)
            if is_given or not file:
                yield key, value
            else:
                yield f"with {file}.{key.removeprefix(f'{group}.')}", value

    files = {group: name.rpartition(".")[2] for group, name in choices.items()}
    task = files.get("task", "task")
    found = {"lr": (config.get("optimizer") or {}).get("lr")}
    for group in ("optimizer", "param_groups", "scheduler"):
        found |= dict(columns(group, files.get(group, group)))
    for group in ("trainer", "callbacks"):
        found |= dict(columns(group, ""))
    for group in ("data", "model"):
        found |= dict(columns(group, f"{task}.{group}"))
    found["monitor" if "monitor" in given else f"with {task}.monitor"] = config.get("monitor")
    return {**choices, **dict(flattened(found))}


def flattened(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested mappings as dotted keys, with values that a column can hold."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flattened(value, f"{prefix}{key}.")
        elif isinstance(value, (bool, int, float, str)):
            yield f"{prefix}{key}", value
        elif value is not None:
            yield f"{prefix}{key}", str(value)


def session_start(hparams: Mapping[str, Any], group: str) -> Summary:
    """The summary that begins a row.

    Args:
        hparams: its columns, as :func:`flattened` returns them.
        group: name of the row; TensorBoard shows the runs of a group as one, with mean metrics.
    """
    info = plugin_data_pb2.SessionStartInfo(group_name=group, start_time_secs=time.time())
    for key, value in hparams.items():
        if isinstance(value, bool):
            info.hparams[key].bool_value = value
        elif isinstance(value, str) or not math.isfinite(value):
            info.hparams[key].string_value = str(value)  # JSON has no infinity
        else:
            info.hparams[key].number_value = value
    return _summary(metadata.SESSION_START_INFO_TAG, session_start_info=info)


def session_end(status: str) -> Summary:
    """The summary that ends a row; only a completed run is a success."""
    success = status == "completed"
    info = plugin_data_pb2.SessionEndInfo(
        status=api_pb2.STATUS_SUCCESS if success else api_pb2.STATUS_FAILURE,
        end_time_secs=time.time(),
    )
    return _summary(metadata.SESSION_END_INFO_TAG, session_end_info=info)


def result_scalars(result: Mapping[str, Any]) -> dict[str, float]:
    """The metric columns of a run that has ended.

    Args:
        result: what ``result.json`` holds.

    Returns:
        ``verdict/best``, ``final`` and ``first`` of the monitor, ``final_gap`` where the optimum is
        known, ``seconds``, ``steps_to_target`` where the target was met, and
        ``steps_until_divergence`` of a diverged run: it distinguishes divergence from failure,
        because TensorBoard has one status for both. Values that are not finite, or too large for a
        scalar, are omitted. TensorBoard shows the five metrics that come first in the alphabet:
        losses and those of these that all runs have.
    """
    metrics = result["metrics"]
    monitored = metrics.get(result["monitor"], {})
    values = {
        "final": monitored.get("final"),
        "first": monitored.get("first"),
        "best": monitored.get("best"),
        "seconds": result.get("seconds"),
        "final_gap": metrics.get("train/gap", {}).get("final"),
        "steps_to_target": (result["target"] or {}).get("steps"),
        "steps_until_divergence": result["steps"] if result["status"] == "diverged" else None,
    }
    return {
        f"verdict/{name}": float(value)
        for name, value in values.items()
        if value is not None and abs(value) <= _LARGEST
    }


def _summary(tag: str, **info: Any) -> Summary:
    data = plugin_data_pb2.HParamsPluginData(**info)
    return Summary(
        value=[
            Summary.Value(
                tag=tag,
                metadata=metadata.create_summary_metadata(data),
                tensor=metadata.NULL_TENSOR,
            )
        ]
    )
