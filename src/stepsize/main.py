"""One job of the command line: a run by itself, or one of a sweep's."""

from __future__ import annotations

import logging

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from stepsize.run.errors import one_line, told_in_one_line
from stepsize.run.folder import ChangedError, in_sweep
from stepsize.run.result import worst
from stepsize.train import train

log = logging.getLogger(__name__)


def run_job(cfg: DictConfig) -> float:
    """Train; a run that fails in a sweep counts as infinitely bad, so that the others go on.

    Its traceback is in its ``train.log`` by then, its reason in ``result.json``, and the sweep will
    end with status 1. With ``fail_fast=true`` it ends the sweep instead, and so does a folder that
    holds a run with another configuration: that has nothing to say about this one.

    Args:
        cfg: the configuration as Hydra composes it.
    """
    if in_sweep() and not HydraConfig.get().verbose:
        _quiet()
    with told_in_one_line():
        try:
            return train(cfg)
        except Exception as error:
            if cfg.fail_fast or not in_sweep() or isinstance(error, ChangedError):
                raise
            log.info("failed: %s", one_line(error))
            return worst(cfg.mode)


def _quiet() -> None:
    """Leave the console to the sweep's own line; what a run has to say is in its ``train.log``."""
    for handler in logging.getLogger().handlers:
        if not isinstance(handler, logging.FileHandler):
            handler.setLevel(logging.WARNING)
