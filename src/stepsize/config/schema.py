"""Top-level values that nobody else checks, checked before anything is built."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

RESUME_MODES = ("full", "weights", "override_lr")


def check_settings(config: Mapping[str, Any]) -> None:
    """Refuse values that would fail late, or change the run's meaning in silence.

    Args:
        config: the whole configuration as plain containers.

    Raises:
        ValueError: says what was given and what is allowed.
    """
    seed = config["seed"]
    if not _is_whole(seed) or not 0 <= seed < 2**32:
        raise ValueError(f"seed={seed}: give a whole number from 0 to 4294967295")
    if config["mode"] not in ("min", "max"):
        raise ValueError(
            f"mode={config['mode']}: give min or max, whichever is better for {config['monitor']}"
        )
    path, mode = config["ckpt_path"], config["resume"]
    if mode not in RESUME_MODES:
        raise ValueError(f"resume={mode}: give {', '.join(RESUME_MODES)}")
    if mode != "full" and path is None:
        raise ValueError(f"resume={mode} needs a checkpoint: ckpt_path=RUN/checkpoints/last.ckpt")
    if path is not None and not Path(path).is_file():
        raise ValueError(
            f"ckpt_path={path}: there is no such file; a run leaves RUN/checkpoints/last.ckpt"
        )
    _check_target(config["target"])
    trainer = config["trainer"]
    for key in ("max_steps", "log_every_n_steps"):
        value = trainer.get(key, 1)
        unlimited = key == "max_steps" and value == -1
        if not unlimited and (not _is_whole(value) or value < 1):
            raise ValueError(f"trainer.{key}={value}: give a whole number from 1 up")
    if trainer.get("max_steps", -1) == -1 and trainer.get("max_epochs", -1) in (-1, None):
        raise ValueError(
            "trainer.max_steps=-1: the run would never end; set it, or trainer.max_epochs"
        )


def _check_target(target: Any) -> None:
    if target is None:
        return
    fits = isinstance(target, Mapping) and set(target) == {"metric", "value"}
    if (
        not fits
        or isinstance(target["value"], bool)
        or not isinstance(target["value"], (int, float))
    ):
        raise ValueError(
            f"target={target}: give null or {{metric: TAG, value: NUMBER}}, such as "
            "{metric: train/loss, value: 0.1}"
        )


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def whole_number(name: str, value: object, least: int) -> int:
    """Return ``value`` where it is a whole number of at least ``least``.

    Args:
        name: the key below ``data``, for the message.
        value: what the configuration says.
        least: the smallest allowed value.

    Raises:
        ValueError: anything else, ``True`` and ``2.0`` included.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"data.{name}={value!r}: give a whole number from {least} up")
    return value


def scale(name: str, value: float) -> float:
    """Return ``value`` where it can be a standard deviation.

    Raises:
        ValueError: a negative or non-finite number, or none at all.
    """
    if not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
        raise ValueError(f"data.{name}={value!r}: give a finite number from 0 up")
    return float(value)
