"""Validate and test a run's checkpoint, also on other data.

    python -m stepsize evaluate outputs/runs/2026-01-31_12-00-00.000000_curve-adam
    python -m stepsize evaluate outputs/runs/2026-01-31_12-00-00.000000_curve-adam data.seed=7

The weights are those of checkpoints/last.ckpt, the model and the data those of the run's
configuration, with these overrides of data. The metrics are printed, and written to evaluate.json
in the run's folder, which the next evaluation replaces.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("folder", type=Path, metavar="RUN", help="the run's folder")
    parser.add_argument(
        "overrides", nargs="*", metavar="OVERRIDE", help="data.KEY=VALUE or data=NAME"
    )


def run(arguments: argparse.Namespace) -> str:
    """Evaluate a run; return a table of its metrics and the path of evaluate.json.

    Raises:
        ValueError: the folder is not a run's, an override is not one of its data, or there is
            nothing to validate or to test.
    """
    from stepsize.config.instantiate import allowing
    from stepsize.run.errors import one_line
    from stepsize.run.hints import without_hints
    from stepsize.run.result import write_json
    from stepsize.run.saved import SavedRun

    folder: Path = arguments.folder
    saved = SavedRun.of(folder, arguments.overrides)
    with allowing(saved.config["allowed_packages"]), without_hints():
        try:
            data, module = saved.build()
        except RuntimeError as error:  # torch lists each tensor on a line of its own
            raise ValueError(
                f"{folder}: the checkpoint does not fit the model: {one_line(error)}"
            ) from error
        metrics = evaluate(saved.config["trainer"], module, data)
    step = int(saved.checkpoint["global_step"])
    file = folder / "evaluate.json"
    write_json(
        file,
        {
            "checkpoint": str(saved.file.relative_to(folder)),
            "step": step,
            "overrides": list(arguments.overrides),
            "data": saved.config["data"],
            "metrics": metrics,
        },
    )
    width = max(map(len, metrics))
    rows = [f"{tag:{width}}  {value:.6g}" for tag, value in metrics.items()]
    return "\n".join([f"step {step} of {folder}", *rows, str(file)])


def evaluate(trainer_config: dict[str, Any], module: Any, data: Any) -> dict[str, float]:
    """The metrics that the module logs in its validation and in its test.

    Args:
        trainer_config: the run's, of which the accelerator and the precision are used.
        module: a LightningModule.
        data: a LightningDataModule.

    Raises:
        ValueError: there is nothing to validate or to test, or nothing was logged.
    """
    import pytorch_lightning as pl
    from pytorch_lightning.utilities.model_helpers import is_overridden

    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    trainer = pl.Trainer(
        accelerator=trainer_config.get("accelerator", "auto"),
        precision=trainer_config.get("precision", "32-true"),
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.precision_plugin.convert_module(module)
    metrics: dict[str, float] = {}
    found = []
    for stage, prefix, evaluation in (
        ("validation", "val", trainer.validate),
        ("test", "test", trainer.test),
    ):
        loader = f"{prefix}_dataloader"
        source = data if is_overridden(loader, data) else module
        if is_overridden(f"{stage}_step", module) and is_overridden(loader, source):
            found.append(stage)
            for logged in evaluation(module, datamodule=data, verbose=False):
                metrics.update(logged)
    metrics.pop("step", None)
    if not metrics:
        what = f"its {' and its '.join(found)} logged nothing" if found else "has neither"
        raise ValueError(
            f"nothing to evaluate: {type(module).__name__} on {type(data).__name__}: {what}; "
            "a validation or a test needs a step of the module and a set of the data"
        )
    return metrics
