"""The story of one run: seed, build, fit, record."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig
from pytorch_lightning.utilities.exceptions import SIGTERMException

from stepsize.callbacks import Divergence, GroupTable, Record, Unfreeze
from stepsize.callbacks.needed import needed_callbacks
from stepsize.errors import one_line
from stepsize.gap import Gap
from stepsize.instantiate import allowing, instantiate
from stepsize.optim import Recipe
from stepsize.resume import Resume
from stepsize.run import Run
from stepsize.settings import check_settings
from stepsize.summary import print_summary
from stepsize.tags import check_monitors, known_tags

log = logging.getLogger(__name__)

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
        The objective: the monitor's final value; infinitely bad for a run that diverged.

    Raises:
        ValueError: parts of the configuration do not exist or do not fit together.
    """
    run = Run.open(cfg)
    record = Record(run.folder / "metrics.csv")
    with allowing(run.config["allow"]), _failures_recorded(run, record):
        log.debug("settings: %s", " ".join(run.overrides) or "all as in conf/")
        check_settings(run.config)
        resume = Resume(run.config)
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
        check_monitors(_monitors(run), known_tags(module, data))
        callbacks = _all(run.config["callbacks"], "callbacks")
        needed = needed_callbacks(module.recipe)
        trainer = _trainer(run, record, [resume, *needed, *callbacks])
        trainer.fit(module, data, ckpt_path=resume.ckpt_path, weights_only=True)
        _validate_end(trainer, module, data, record)
        objective = _objective(run, record)
    diverged = _divergence(callbacks, objective)
    result = run.write_result(
        "diverged" if diverged else "completed", reason=diverged, **_outcome(run, record)
    )
    log.debug("%s after %d steps: %s", result["status"], record.steps, result["metrics"])
    print_summary(run, result)
    worst = math.inf if run.config["mode"] == "min" else -math.inf
    return worst if diverged else objective


@contextmanager
def _failures_recorded(run: Run, record: Record) -> Iterator[None]:
    """Write what happened, and what was reached, into ``result.json`` before the error goes on."""
    try:
        yield
    except BaseException as error:
        log.debug("the run ended with this error", exc_info=True)
        record.history.write()
        interrupted = isinstance(error, (KeyboardInterrupt, SystemExit))
        run.write_result(
            "interrupted" if interrupted else "failed",
            reason=type(error).__name__ if interrupted else one_line(error),
            **_outcome(run, record),
        )
        if isinstance(error, SIGTERMException):
            raise SystemExit(143) from error  # 128 + SIGTERM, as shells count
        raise


def _monitors(run: Run) -> dict[str, str | None]:
    return {
        "monitor": run.config["monitor"],
        "scheduler.monitor": (run.config["scheduler"] or {}).get("monitor"),
    }


def _trainer(run: Run, record: Record, callbacks: list[pl.Callback]) -> pl.Trainer:
    # Averages are in place before anything looks at the final weights; a group joins, after Resume
    # has compared what was built, before anything keeps a list of the parameters.
    averaging = [c for c in callbacks if isinstance(c, pl.callbacks.WeightAveraging)]
    joining = [c for c in callbacks if isinstance(c, (Resume, Unfreeze))]
    others = [c for c in callbacks if c not in averaging and c not in joining]
    return instantiate(
        run.config["trainer"],
        where="trainer",
        callbacks=[*averaging, record, GroupTable(), *joining, *others],
        logger=[record.history, *_all(run.config["logger"], "logger")],
        default_root_dir=run.folder,
        enable_checkpointing=any(isinstance(c, pl.callbacks.Checkpoint) for c in callbacks),
        enable_progress_bar=any(isinstance(c, pl.callbacks.ProgressBar) for c in callbacks),
    )


def _all(configs: dict[str, Any] | None, where: str) -> list[Any]:
    named = (configs or {}).items()
    return [instantiate(config, where=f"{where}.{name}") for name, config in named if config]


def _validate_end(
    trainer: pl.Trainer, module: pl.LightningModule, data: pl.LightningDataModule, record: Record
) -> None:
    """Validate the final weights, unless the run's last step was one with a validation."""
    last = record.history.rows.get(trainer.global_step, {})
    if trainer.enable_validation and not any(tag.startswith("val/") for tag in last):
        trainer.validate(module, datamodule=data, verbose=False, weights_only=True)
        record.history.write()


def _objective(run: Run, record: Record) -> float:
    monitor = run.config["monitor"]
    metrics = record.history.summary(monitor, run.config["mode"])
    if monitor not in metrics:
        raise ValueError(f"monitor={monitor} was not logged; this run logged {', '.join(metrics)}")
    return metrics[monitor]["final"]


def _divergence(callbacks: list[pl.Callback], objective: float) -> str | None:
    for callback in callbacks:
        if isinstance(callback, Divergence) and callback.reason:
            return callback.reason
    return None if math.isfinite(objective) else f"the final value of the monitor is {objective}"


def _outcome(run: Run, record: Record) -> dict[str, Any]:
    return {
        "steps": record.steps,
        "metrics": record.history.summary(run.config["monitor"], run.config["mode"]),
        "optimum": None if record.gap is None else record.gap.optimum,
    }
