"""One run: seed, build, fit, record."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig
from pytorch_lightning.utilities import rank_zero_only
from pytorch_lightning.utilities.exceptions import SIGTERMException

from stepsize.callbacks.batch_order import BatchOrder
from stepsize.callbacks.divergence import Divergence
from stepsize.callbacks.fingerprints import Fingerprints
from stepsize.callbacks.interruption import Interrupted, Interruption
from stepsize.callbacks.recorder import Record
from stepsize.callbacks.required import GroupTable, required_callbacks
from stepsize.callbacks.unfreeze import Unfreeze
from stepsize.checkpoint.resume import Resume
from stepsize.config.instantiate import allowing, instantiate
from stepsize.config.schema import check_config
from stepsize.loggers.hparams import hparams_of
from stepsize.loggers.monitors import check_monitors, logged_tags, watched_tags
from stepsize.loggers.tensorboard import RowLogger
from stepsize.optim import Recipe
from stepsize.optima.gap import Gap
from stepsize.plots.callback import Plot
from stepsize.run.console import print_interruption, print_summary
from stepsize.run.folder import Run, in_sweep
from stepsize.run.hints import without_hints
from stepsize.run.result import (
    objective_of,
    reachable_target,
    result_of,
    write_result,
)
from stepsize.sweeps.jobs import trial_name

log = logging.getLogger(__name__)

# Lightning sets its level to INFO when it is imported: devices, tips, "max_steps reached".
for name in ("pytorch_lightning", "lightning_fabric"):
    logging.getLogger(name).setLevel(logging.WARNING)


def train(cfg: DictConfig) -> float:
    """Train what a configuration describes, and leave a run folder behind.

    Args:
        cfg: the configuration as Hydra composes it from ``conf/train.yaml``.

    Returns:
        The objective: the monitor's final value; infinitely bad for a run that diverged. A run of
        a sweep that is done already is not repeated; an interrupted one is resumed.

    Raises:
        ValueError: parts of the configuration do not exist or are incompatible.
    """
    run = Run.open(cfg)
    if run.earlier.is_done:
        return objective_of(run.earlier.result)
    record = Record(run.folder / "metrics.csv" if _is_first_process() else None)
    prints = Fingerprints()
    loggers: list[Any] = []
    interruption = Interruption()
    with (
        interruption.listening(),
        without_hints(),
        allowing(run.config["allowed_packages"]),
        _errors_recorded(run, record, prints, loggers, interruption),
    ):
        run.claim_folder(cfg)
        log.debug("overrides: %s", " ".join(run.overrides) or "none")
        check_config(run.config)
        resume, run = _resume(run)
        config = run.config
        loggers += _build_loggers(run) if _is_first_process() else []

        pl.seed_everything(config["seed"], workers=True, verbose=False)
        data = instantiate(config["data"], where="data")
        module = instantiate(config["model"], where="model")
        module.recipe = Recipe.from_config(config, start=resume.start)
        resume.prepare(module)
        record.gap = Gap.where_known(module, data)
        config["target"] = reachable_target(config, optimum_known=record.gap is not None)
        check_monitors(watched_tags(config), logged_tags(module, data))
        callbacks = [
            interruption,
            resume,
            BatchOrder(config["seed"]),
            prints,
            *required_callbacks(module.recipe),
            *_build_callbacks(config),
        ]
        trainer = _build_trainer(run, record, loggers, callbacks)

        # Lightning would load a checkpoint's float64 weights into float32 before it converts.
        trainer.precision_plugin.convert_module(module)
        trainer.fit(module, data, ckpt_path=resume.ckpt_path, weights_only=True)
        _validate_final_weights(trainer, module, data, record)

        reasons = [c.reason for c in callbacks if isinstance(c, Divergence) and c.reason]
        result = _end(run, record, prints, loggers, diverged=reasons[0] if reasons else None)
    log.debug("%s after %d steps: %s", result["status"], record.steps, result["metrics"])
    if not in_sweep() and _is_first_process():
        print_summary(run, result)
    return objective_of(result)


def _is_first_process() -> bool:
    """Whether this process writes the run's files; Lightning starts others with trainer=ddp."""
    return int(getattr(rank_zero_only, "rank", 0)) == 0


def _resume(run: Run) -> tuple[Resume, Run]:
    """Resume from the configured checkpoint, or from the one that an earlier attempt left."""
    if run.earlier.checkpoint is not None:
        checkpoint = str(run.earlier.checkpoint)
        log.info("resumed from %s", checkpoint)
        try:
            return Resume({**run.config, "ckpt_path": checkpoint, "resume": "full"}), run
        except ValueError as error:
            log.info("trained from the start: %s", error)
            run = run.from_start()
    return Resume(run.config), run


def _build_loggers(run: Run) -> list[Any]:
    """The configured loggers, each with the hyperparameters: a row of HPARAMS in TensorBoard."""
    loggers = _instantiate_all(run.config, "logger")
    columns = hparams_of(run.config, run.choices, run.overrides)
    for logger in loggers:
        if isinstance(logger, RowLogger):
            group = trial_name(run.overrides, run.folder, in_sweep=in_sweep())
            logger.log_hyperparams(columns, group=group)
        else:
            logger.log_hyperparams({**columns, "seed": run.config["seed"]})
    return loggers


def _build_callbacks(config: Mapping[str, Any]) -> list[pl.Callback]:
    """The configured callbacks; a sweep has its own progress bar, and draws some plots itself."""
    skipped: list[type] = [pl.callbacks.ProgressBar] if in_sweep() else []
    skipped += [Plot] if config["plots"] is False else []
    callbacks = _instantiate_all(config, "callbacks")
    kept = [callback for callback in callbacks if not isinstance(callback, tuple(skipped))]
    for callback in kept:
        if isinstance(callback, Plot):
            callback.draws_at_end = config["plots"] is True or not in_sweep()
    return kept


def _build_trainer(
    run: Run, record: Record, loggers: list[Any], callbacks: list[pl.Callback]
) -> pl.Trainer:
    # Weights are averaged before any other callback reads the final weights. Unfreeze adds its
    # group after Resume has compared what was built, before others list the parameters.
    averaging = [c for c in callbacks if isinstance(c, pl.callbacks.WeightAveraging)]
    building = [c for c in callbacks if isinstance(c, (Resume, Unfreeze))]
    others = [c for c in callbacks if c not in averaging and c not in building]
    return instantiate(
        run.config["trainer"],
        where="trainer",
        callbacks=[*averaging, record, GroupTable(), *building, *others],
        logger=[*loggers, record.history],  # the first one is the module's self.logger
        default_root_dir=run.folder,
        enable_checkpointing=any(isinstance(c, pl.callbacks.Checkpoint) for c in callbacks),
        enable_progress_bar=any(isinstance(c, pl.callbacks.ProgressBar) for c in callbacks),
    )


def _instantiate_all(config: Mapping[str, Any], group: str) -> list[Any]:
    entries = (config[group] or {}).items()
    return [instantiate(entry, where=f"{group}.{name}") for name, entry in entries if entry]


def _validate_final_weights(
    trainer: pl.Trainer, module: pl.LightningModule, data: pl.LightningDataModule, record: Record
) -> None:
    """Validate once more, unless the run's last step was followed by a validation."""
    last = record.history.rows.get(trainer.global_step, {})
    if trainer.enable_validation and not any(tag.startswith("val/") for tag in last):
        trainer.validate(module, datamodule=data, verbose=False, weights_only=True)
        record.history.write()


@contextmanager
def _errors_recorded(
    run: Run,
    record: Record,
    prints: Fingerprints,
    loggers: list[Any],
    interruption: Interruption,
) -> Iterator[None]:
    """Write the error and the metrics so far to ``result.json`` before the error is raised."""
    try:
        yield
    except BaseException as error:
        log.debug("the run ended with this error", exc_info=True)
        record.history.write()
        between_steps = isinstance(error, SIGTERMException)  # Lightning's
        ending = interruption.ended_by() if between_steps else error
        result = _end(run, record, prints, loggers, error=ending)
        if isinstance(ending, Interrupted) and not in_sweep() and _is_first_process():
            print_interruption(run, result)
        raise ending from error


def _end(
    run: Run, record: Record, prints: Fingerprints, loggers: list[Any], **how: Any
) -> dict[str, Any]:
    """Write ``result.json`` and complete the run's row of HPARAMS.

    Args:
        run: the run.
        record: its metrics.
        prints: of its initial weights, first and last batch.
        loggers: those of the configuration.
        **how: ``diverged`` or ``error``, as :func:`stepsize.run.result.result_of` takes them.
    """
    optimum = None if record.gap is None else record.gap.optimum
    result = result_of(
        run,
        record.history,
        steps=record.steps,
        optimum=optimum,
        fingerprints=prints.result,
        **how,
    )
    if _is_first_process():
        write_result(run.folder, result)
    for logger in loggers:
        if isinstance(logger, RowLogger):
            logger.close_session(result)
    return result
