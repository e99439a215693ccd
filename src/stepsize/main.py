"""One job of the command line: a single run, or one run of a sweep."""

from __future__ import annotations

import logging

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from stepsize.run.errors import errors_in_one_line, one_line
from stepsize.run.folder import ChangedConfigError, in_sweep
from stepsize.run.result import worst_objective
from stepsize.train import train

log = logging.getLogger(__name__)


def run_job(cfg: DictConfig) -> float:
    """Train; in a sweep, a failed run is infinitely bad, so that the other runs are trained.

    The traceback is in the run's ``train.log``, the reason in ``result.json``, and the sweep ends
    with exit status 1. Two errors end the sweep at once: any with ``fail_fast=true``, and a folder
    that holds a run with another configuration.

    Args:
        cfg: the configuration as Hydra composes it.

    Returns:
        The objective of the run, for Hydra's sweepers.
    """
    if in_sweep() and not HydraConfig.get().verbose:
        _quiet_console()
    with errors_in_one_line():
        try:
            return train(cfg)
        except Exception as error:
            if cfg.fail_fast or not in_sweep() or isinstance(error, ChangedConfigError):
                raise
            log.info("failed: %s", one_line(error))
            return worst_objective(cfg.mode.name)


def _quiet_console() -> None:
    """Leave the console to the sweep's own line; the messages of a run are in its ``train.log``."""
    for handler in logging.getLogger().handlers:
        if not isinstance(handler, logging.FileHandler):
            handler.setLevel(logging.WARNING)
