"""The story of one run: seed, build, fit, record."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig
from pytorch_lightning.utilities.exceptions import SIGTERMException

from stepsize.callbacks.divergence import Divergence
from stepsize.callbacks.group_table import GroupTable
from stepsize.callbacks.required import needed_callbacks
from stepsize.callbacks.unfreeze import Unfreeze
from stepsize.checkpoint.resume import Resume
from stepsize.config.instantiate import allowing, instantiate
from stepsize.config.monitors import check_monitors, known_tags, monitors_of
from stepsize.config.schema import check_settings
from stepsize.loggers.hparams import hparams_of
from stepsize.loggers.recorder import Record
from stepsize.loggers.tensorboard import RowLogger
from stepsize.optim import Recipe
from stepsize.optima.gap import Gap
from stepsize.plots.callback import Plot
from stepsize.run.console import print_summary
from stepsize.run.errors import one_line
from stepsize.run.folder import Run, in_sweep
from stepsize.run.result import ended, reached, target_of, told

log = logging.getLogger(__name__)

_TERMINATED = 143  # 128 + SIGTERM, as shells count

# Lightning sets its level to INFO when it is imported: devices, tips, "max_steps reached".
for name in ("pytorch_lightning", "lightning_fabric"):
    logging.getLogger(name).setLevel(logging.WARNING)
# Lightning 2.6 asks torch 2.13's tree specs in an outdated way; nothing that a user could change.
warnings.filterwarnings("ignore", message=r".*isinstance\(treespec, LeafSpec\)` is deprecated")


def train(cfg: DictConfig) -> float:
    """Train what ``cfg`` describes, and leave a run folder behind.

    Args:
        cfg: the configuration as Hydra composes it from ``conf/train.yaml``.

    Returns:
        The objective: the monitor's final value; infinitely bad for a run that diverged. A run of
        a sweep that is done already is not repeated; one that was cut off goes on.

    Raises:
        ValueError: parts of the configuration do not exist or do not fit together.
    """
    run = Run.open(cfg)
    if run.earlier.is_done:
        return told(run.earlier.result)
    record = Record(run.folder / "metrics.csv")
    loggers: list[Any] = []
    with allowing(run.config["allowed_packages"]), _failures_recorded(run, record, loggers):
        run.take(cfg)
        log.debug("settings: %s", " ".join(run.overrides) or "all as in conf/")
        check_settings(run.config)
        resume, run = _resume(run)
        loggers += _loggers(run)
        pl.seed_everything(run.config["seed"], workers=True, verbose=False)
        data = instantiate(run.config["data"], where="data")
        module = instantiate(run.config["model"], where="model")
        module.recipe = Recipe(
            optimizer=run.config["optimizer"],
            param_groups=run.config["param_groups"] or {},
            scheduler=run.config["scheduler"] or {},
            monitor=run.config["monitor"],
            start=resume.start,
        )
        resume.prepare(module)
        record.gap = Gap.where_known(module, data)
        run.config["target"] = target_of(run.config, knows_optimum=record.gap is not None)
        check_monitors(monitors_of(run.config), known_tags(module, data))
        callbacks = _callbacks(run)
        needed = needed_callbacks(module.recipe)
        trainer = _trainer(run, record, loggers, [resume, *needed, *callbacks])
        # Lightning would load a checkpoint's float64 weights into float32 before it converts.
        trainer.precision_plugin.convert_module(module)
        trainer.fit(module, data, ckpt_path=resume.ckpt_path, weights_only=True)
        _validate_end(trainer, module, data, record)
        reached_ = _reached(run, record)
        end = ended(run.config, reached_["metrics"], _divergence(callbacks))
    result = run.write_result(**end, **reached_)
    _close_sessions(loggers, result)
    log.debug("%s after %d steps: %s", result["status"], record.steps, result["metrics"])
    if not in_sweep():
        print_summary(run, result)
    return told(result)


def _resume(run: Run) -> tuple[Resume, Run]:
    """From the checkpoint that was asked for, or that an earlier attempt at this run has left."""
    if run.checkpoint is not None:
        log.info("goes on from %s", run.checkpoint)
        own = {"ckpt_path": str(run.checkpoint), "resume": "full"}
        try:
            return Resume({**run.config, **own}), run
        except ValueError as error:
            log.info("starts over: %s", error)
            run = run.start_over()
    return Resume(run.config), run


@contextmanager
def _failures_recorded(run: Run, record: Record, loggers: list[Any]) -> Iterator[None]:
    """Write what happened, and what was reached, into ``result.json`` before the error goes on."""
    try:
        yield
    except BaseException as error:
        log.debug("the run ended with this error", exc_info=True)
        record.history.write()
        interrupted = isinstance(error, (KeyboardInterrupt, SystemExit))
        result = run.write_result(
            "interrupted" if interrupted else "failed",
            reason=_interruption(error) if interrupted else one_line(error),
            **_reached(run, record),
        )
        _close_sessions(loggers, result)
        if isinstance(error, SIGTERMException):
            raise SystemExit(_TERMINATED) from error
        raise


def _interruption(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "Ctrl-C"
    asked = isinstance(error, SIGTERMException) or getattr(error, "code", None) == _TERMINATED
    return "SIGTERM" if asked else type(error).__name__


def _loggers(run: Run) -> list[Any]:
    """What the configuration asks for; from here on the run is a row of TensorBoard's HPARAMS."""
    loggers = _all(run.config["logger"], "logger")
    for logger in loggers:
        if isinstance(logger, RowLogger):
            logger.log_hyperparams(hparams_of(run.config, run.choices))
    return loggers


def _close_sessions(loggers: list[Any], result: Mapping[str, Any]) -> None:
    for logger in loggers:
        if isinstance(logger, RowLogger):
            logger.close_session(result)


def _trainer(
    run: Run, record: Record, loggers: list[Any], callbacks: list[pl.Callback]
) -> pl.Trainer:
    # Averages are in place before anything looks at the final weights; a group joins, after Resume
    # has compared what was built, before anything keeps a list of the parameters.
    averaging = [c for c in callbacks if isinstance(c, pl.callbacks.WeightAveraging)]
    joining = [c for c in callbacks if isinstance(c, (Resume, Unfreeze))]
    others = [c for c in callbacks if c not in averaging and c not in joining]
    return instantiate(
        run.config["trainer"],
        where="trainer",
        callbacks=[*averaging, record, GroupTable(), *joining, *others],
        logger=[record.history, *loggers],
        default_root_dir=run.folder,
        enable_checkpointing=any(isinstance(c, pl.callbacks.Checkpoint) for c in callbacks),
        enable_progress_bar=any(isinstance(c, pl.callbacks.ProgressBar) for c in callbacks),
    )


def _all(configs: dict[str, Any] | None, where: str) -> list[Any]:
    named = (configs or {}).items()
    return [instantiate(config, where=f"{where}.{name}") for name, config in named if config]


def _callbacks(run: Run) -> list[pl.Callback]:
    """The configured ones; in a sweep without a bar, since that has a line of its own."""
    callbacks = _all(run.config["callbacks"], "callbacks")
    left_out: list[type] = [pl.callbacks.ProgressBar] if in_sweep() else []
    left_out += [] if run.config["plots"] else [Plot]
    return [c for c in callbacks if not isinstance(c, tuple(left_out))]


def _validate_end(
    trainer: pl.Trainer, module: pl.LightningModule, data: pl.LightningDataModule, record: Record
) -> None:
    """Validate the final weights, unless the run's last step was one with a validation."""
    last = record.history.rows.get(trainer.global_step, {})
    if trainer.enable_validation and not any(tag.startswith("val/") for tag in last):
        trainer.validate(module, datamodule=data, verbose=False, weights_only=True)
        record.history.write()


def _divergence(callbacks: list[pl.Callback]) -> str | None:
    return next((c.reason for c in callbacks if isinstance(c, Divergence) and c.reason), None)


def _reached(run: Run, record: Record) -> dict[str, Any]:
    optimum = None if record.gap is None else record.gap.optimum
    return reached(run.config, record.history, record.steps, optimum)
