"""Draw the learning rates that a run would train with, without training.

    python -m stepsize schedule scheduler=warmup_cosine
    python -m stepsize schedule scheduler=onecycle task=digits param_groups=head
    python -m stepsize schedule scheduler=cosine,onecycle,step trainer.max_steps=500
    python -m stepsize schedule 'scheduler=glob(*)'

The overrides are those of train.py. Several values of a key make one panel each. The plot is
written to outputs/schedules/.
"""

from __future__ import annotations

import argparse
import math
import re
import warnings
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stepsize.plots.schedule import Panel

CONF = Path(__file__).resolve().parents[3] / "conf"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "overrides", nargs="*", metavar="OVERRIDE", help="GROUP=NAME or KEY=VALUE, as for train.py"
    )


def run(arguments: argparse.Namespace) -> Path:
    """Draw a panel for each combination of the overrides' values; return the plot's path.

    Raises:
        ValueError: the run has no end, or a value is not allowed.
        hydra.errors.HydraException: an override does not exist in the configuration.
    """
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    from stepsize.plots.schedule import draw_panels
    from stepsize.sweeps.jobs import combinations

    with initialize_config_dir(str(CONF), version_base="1.3"):
        jobs = combinations(arguments.overrides, GlobalHydra.instance().config_loader())
        fixed = [each for each in jobs[0] if all(each in job for job in jobs)]
        panels = [panel_of(job, {*job} - {*fixed}) for job in jobs]
    titles = [panel.title for panel in panels] if len(panels) < 5 else [f"{len(panels)} schedules"]
    named = [*titles, *(each for each in fixed if not each.startswith("scheduler="))]
    path = Path("outputs", "schedules", re.sub(r"[^\w.=-]+", "_", " ".join(named))[:200] + ".png")
    path.parent.mkdir(parents=True, exist_ok=True)
    draw_panels(panels).savefig(path, dpi=160)
    return path


def panel_of(overrides: Sequence[str], varied: Collection[str] = ()) -> Panel:
    """The learning rate of every step of a run, from its optimizer and schedule alone.

    Args:
        overrides: of the training configuration.
        varied: the overrides that differ between panels; they are part of the title.

    Raises:
        ValueError: the run has no end, or a value is not allowed.
    """
    from hydra import compose
    from omegaconf import OmegaConf
    from torch.optim.lr_scheduler import ReduceLROnPlateau

    from stepsize.config.instantiate import allowing, instantiate
    from stepsize.optim import build_optimizer, build_schedule, sparse_parameter_names
    from stepsize.plots.schedule import Panel

    cfg = compose("train", overrides=list(overrides), return_hydra_config=True)
    config: dict[str, Any] = {
        key: OmegaConf.to_container(cfg[key], resolve=True, enum_to_str=True)
        for key in ("data", "model", "optimizer", "param_groups", "scheduler", "trainer")
    }
    trainer = config["trainer"]
    with allowing(cfg.allowed_packages):
        data = instantiate(config["data"], where="data")
        module = instantiate(config["model"], where="model")
        epoch = math.ceil(len(data.train_dataloader()) / trainer["accumulate_grad_batches"])
        steps = trainer["max_steps"] if trainer["max_steps"] > 0 else trainer["max_epochs"] * epoch
        if steps < 1:
            raise ValueError("trainer.max_steps=-1: the run has no end; give a number of steps")
        optimizer = build_optimizer(
            config["optimizer"],
            module.named_parameters(),
            config["param_groups"],
            sparse=sparse_parameter_names(module),
        )
        entry = build_schedule(
            config["scheduler"],
            optimizer,
            total_steps=steps,
            steps_per_epoch=epoch,
            monitor=cfg.monitor,
        )
    names = [str(group.get("name", i)) for i, group in enumerate(optimizer.param_groups)]
    lrs: dict[str, list[float]] = {name: [] for name in names}
    for step in range(steps):
        for name, group in zip(names, optimizer.param_groups, strict=True):
            lrs[name].append(float(group["lr"]))
        if entry:
            _step_schedule(entry, step, epoch)
    chosen = cfg.hydra.runtime.choices
    named = (f"scheduler={chosen.scheduler}", f"task={chosen.task}")
    others = [each for each in overrides if each not in named and (each in varied or not varied)]
    title, note = [chosen.scheduler], [chosen.task]
    (title if varied else note).extend(others)
    if entry and isinstance(entry["scheduler"], ReduceLROnPlateau):
        note.append(f"if {entry['monitor']} never improved")
    return Panel(" ".join(title), ", ".join(note), lrs)


def _step_schedule(entry: dict[str, Any], step: int, epoch: int) -> None:
    """Step the schedule after optimizer step ``step`` as Lightning does."""
    from torch.optim.lr_scheduler import ReduceLROnPlateau

    count = step % epoch + 1
    if entry["interval"] == "epoch":
        count = (step + 1) // epoch if count == epoch else 0
    if not count or count % entry["frequency"]:
        return
    scheduler = entry["scheduler"]
    with warnings.catch_warnings():
        # The optimizer itself takes no steps here.
        warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
        scheduler.step(*([1.0] if isinstance(scheduler, ReduceLROnPlateau) else []))
