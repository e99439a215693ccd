"""The configuration that Hydra composes, resolved into plain containers."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from stepsize.config.schema import refuse_renamed_keys

log = logging.getLogger(__name__)


def plain(cfg: DictConfig, *, resolve: bool) -> dict[str, Any]:
    """The configuration as plain containers, with the names of enumerations as text."""
    container: Any = OmegaConf.to_container(cfg, resolve=resolve, enum_to_str=True)
    return container


def resolved_config(
    cfg: DictConfig, choices: Mapping[str, str], overrides: Sequence[str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Resolve every interpolation of a configuration.

    Where the overrides replace the class of the optimizer or of the scheduler, the values of the
    chosen file are dropped, because they belong to the file's class; a log line names them.

    Args:
        cfg: as Hydra composes it.
        choices: the chosen file of each config group: ``{"optimizer": "adam"}``.
        overrides: those of the command line and of the sweep.

    Returns:
        The configuration, and the choices, where a replaced class stands for its group's file.

    Raises:
        ValueError: a value is missing, or a key has been renamed.
    """
    missing = sorted(OmegaConf.missing_keys(cfg))
    if missing:
        raise ValueError(f"no value for {', '.join(missing)}; give one with {missing[0]}=VALUE")
    config = plain(cfg, resolve=True)
    refuse_renamed_keys(config)
    chosen = dict(choices)
    for group in ("optimizer", "scheduler"):
        if _is_set(f"{group}._target_", overrides):
            config[group] = _for_replaced_class(config[group], group, chosen[group], overrides)
            chosen[group] = config[group]["_target_"]
    return config, chosen


def _for_replaced_class(
    config: Mapping[str, Any], group: str, choice: str, overrides: Sequence[str]
) -> dict[str, Any]:
    kept = {key: value for key, value in config.items() if _is_set(f"{group}.{key}", overrides)}
    dropped = [key for key in config if key not in kept]
    if dropped:
        log.info(
            "%s._target_=%s: uses its own defaults; %s of %s=%s no longer apply",
            group, config["_target_"], ", ".join(dropped), group, choice,
        )  # fmt: skip
    return kept


def _is_set(key: str, overrides: Sequence[str]) -> bool:
    """Whether an override sets the key or a key below it."""
    return any(re.match(rf"\+{{0,2}}{re.escape(key)}[=.]", override) for override in overrides)
