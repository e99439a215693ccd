"""The typed top level of the configuration, its checks, and the keys that were renamed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, List, Optional, Union  # noqa: UP035 (OmegaConf resolves them at run time)

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, OmegaConf

# The config groups that a run is named and compared by.
RECIPE_GROUPS = ("task", "optimizer", "scheduler", "param_groups")


class Mode(Enum):
    """Whether a smaller (min) or a larger (max) value of the monitor is better."""

    min = "min"
    max = "max"


class ResumeMode(Enum):
    """What a run takes from ``ckpt_path``.

    full: everything as it was, and the configuration must agree. weights: only the weights, with a
    fresh optimizer. override_lr: everything but the learning rates and the schedule.
    """

    full = "full"
    weights = "weights"
    override_lr = "override_lr"


@dataclass
class Target:
    """A value of a metric; a run counts the steps until the metric first reaches it."""

    metric: str = MISSING
    value: float = MISSING


@dataclass
class TrainConfig:
    """The top-level keys of conf/train.yaml, which explains each; Hydra refuses other types."""

    name: Optional[str] = None  # noqa: UP045
    seed: int = 0
    monitor: str = "train/loss"
    mode: Mode = Mode.min
    target: Optional[Target] = None  # noqa: UP045
    ckpt_path: Optional[str] = None  # noqa: UP045
    resume: ResumeMode = ResumeMode.full
    plots: Union[bool, str] = "auto"  # noqa: UP007
    allowed_packages: List[str] = field(default_factory=list)  # noqa: UP006
    overwrite: bool = False
    fail_fast: bool = False


ConfigStore.instance().store(
    name="stepsize_schema",
    # Not struct: the file conf/train.yaml adds the config groups, and users may add values.
    node=OmegaConf.structured(TrainConfig, flags={"struct": False}),
    provider="stepsize",
)


def check_config(config: Mapping[str, Any]) -> None:
    """Refuse values that would fail late, or change a run's meaning without a message.

    Args:
        config: the whole configuration as plain containers.

    Raises:
        ValueError: names the value that was given and what is allowed.
    """
    check_plots(config["plots"])
    seed, path, resume = config["seed"], config["ckpt_path"], config["resume"]
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed={seed}: give a whole number from 0 to 4294967295")
    if resume != "full" and path is None:
        raise ValueError(f"resume={resume} needs a checkpoint: ckpt_path=RUN/checkpoints/last.ckpt")
    if path is not None and not Path(path).is_file():
        raise ValueError(
            f"ckpt_path={path}: there is no such file; a run leaves RUN/checkpoints/last.ckpt"
        )
    trainer = config["trainer"]
    fast = trainer.get("fast_dev_run")
    if fast:
        raise ValueError(
            f"trainer.fast_dev_run={fast}: Lightning then drops all loggers and checkpoints, and "
            "with them the run's metrics; use trainer=debug"
        )
    steps = trainer.get("max_steps", -1)
    if steps != -1:
        whole_number("trainer.max_steps", steps, least=1)
    elif trainer.get("max_epochs", -1) in (-1, None):
        raise ValueError(
            "trainer.max_steps=-1: the run would never end; set it, or trainer.max_epochs"
        )
    whole_number("trainer.log_every_n_steps", trainer.get("log_every_n_steps", 1), least=1)


def check_plots(value: object) -> None:
    """Refuse a value of ``plots`` that is none of auto, true and false.

    An enumeration would not do: OmegaConf refuses YAML's true and false for one.

    Raises:
        ValueError: names the value that was given and what is allowed.
    """
    if not isinstance(value, bool) and value != "auto":
        raise ValueError(f"plots={value}: give auto, true or false")


def whole_number(key: str, value: object, least: int) -> int:
    """Return ``value`` where it is a whole number of at least ``least``.

    Args:
        key: the configuration key, for the message.
        value: what the configuration says.
        least: the smallest allowed value.

    Raises:
        ValueError: anything else, ``True`` and ``2.0`` included.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{key}={value!r}: give a whole number from {least} up")
    return value


def standard_deviation(key: str, value: float) -> float:
    """Return ``value`` where it is a finite number from 0 up.

    Raises:
        ValueError: anything else.
    """
    if not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
        raise ValueError(f"{key}={value!r}: give a finite number from 0 up")
    return float(value)


_LARGER_IS_BETTER = {"acc", "accuracy", "auroc", "f1", "precision", "recall", "r2"}


def larger_is_better(tag: str, monitor: str, mode: str) -> bool:
    """Whether a larger value of ``tag`` is better: ``mode`` decides for the monitor."""
    return mode == "max" if tag == monitor else tag.split("/")[-1] in _LARGER_IS_BETTER


RENAMED = {
    "pictures": "plots",
    "allow": "allowed_packages",
    "callbacks.picture": "callbacks.plot",
    "data.order_seed": "data.shuffle_seed",
    "optimizer.takes": "optimizer.params",
    "optimizer.rest": "optimizer.other_params",
    "hydra.sweeper.only_fitting": "hydra.sweeper.skip_incompatible",
    "hydra.sweeper.then": "hydra.sweeper.final_stage",
    "hydra.sweeper.then.best_of": "hydra.sweeper.final_stage.select_best_per",
    "hydra.sweeper.then.seed": "hydra.sweeper.final_stage.seeds",
}


def refuse_renamed_overrides(arguments: Sequence[str]) -> None:
    """End the program if the command line sets a renamed key, or a key below one.

    Hydra itself would refuse the old key without the new name.

    Raises:
        SystemExit: with a message of one line, which names the old and the new key.
    """
    longest_first = sorted(RENAMED, key=len, reverse=True)
    for argument in arguments:
        key = re.split("[=@]", argument.lstrip("+~"), maxsplit=1)[0]
        for old in longest_first:
            if key == old or key.startswith(f"{old}."):
                raise SystemExit(_message(old))


def refuse_renamed_keys(config: Mapping[str, Any], prefix: str = "") -> None:
    """Refuse renamed keys that a configuration file sets.

    Args:
        config: a part of the configuration.
        prefix: where the part stands, such as ``hydra.sweeper.``; the whole has none.

    Raises:
        ValueError: names the old and the new key.
    """
    for old in RENAMED:
        if not old.startswith(prefix):
            continue
        node: Any = config
        for key in old[len(prefix) :].split("."):
            node = node[key] if isinstance(node, Mapping) and key in node else None
        if node is not None:
            raise ValueError(_message(old))


def _message(key: str) -> str:
    return f"{key} is called {RENAMED[key]} now; use the new key"
