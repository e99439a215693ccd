"""Draw the rates that a run would train with, without training.

    python scripts/show_schedule.py scheduler=warmup_cosine
    python scripts/show_schedule.py scheduler=onecycle task=digits param_groups=head
    python scripts/show_schedule.py 'scheduler=cosine,onecycle,step' trainer.max_steps=500
    python scripts/show_schedule.py 'scheduler=glob(*)'

The words are those of train.py. Values separated by commas make one panel each. The picture goes to
outputs/schedules/.
"""

from __future__ import annotations

import argparse
import itertools
import math
import re
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from hydra.errors import HydraException
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch.optim.lr_scheduler import ReduceLROnPlateau

from stepsize.instantiate import allowing, instantiate
from stepsize.optim import build_optimizer, build_schedule, sparse_parameter_names

CONF = Path(__file__).resolve().parents[1] / "conf"
# Okabe and Ito's palette, told apart with any colour vision.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
INK, GRID = "#333333", "#e6e6e6"


@dataclass(frozen=True)
class Curves:
    """The rates of one run.

    Attributes:
        title: what is special about it among the panels.
        task: the task's name.
        rates: for each group's name, the rate of every step.
        note: what the curve rests on, if on more than the step.
    """

    title: str
    task: str
    rates: dict[str, list[float]]
    note: str = ""


def main() -> None:
    """Draw what the command line asks for, and print the picture's path."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("words", nargs="*", metavar="GROUP=NAME or KEY=VALUE")
    words = parser.parse_args().words
    try:
        curves = [curves_of(combination) for combination in combinations(words)]
    except (ValueError, HydraException, OmegaConfBaseException) as error:
        sys.exit(str(error))
    name = re.sub(r"[^\w.=-]+", "_", ",".join(panel.title for panel in curves))
    path = Path("outputs/schedules") / f"{name if len(name) < 100 else f'{len(curves)}_schedules'}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    draw(curves).savefig(path, dpi=160)
    print(path)


def combinations(words: Sequence[str]) -> list[list[str]]:
    """Every combination of the values that the words give, as Hydra's multirun has them."""
    overrides = OverridesParser.create().parse_overrides(list(words))
    return [list(c) for c in itertools.product(*(_choices(override) for override in overrides))]


def _choices(override: Override) -> list[str]:
    key, value = override.get_key_element(), override.value()
    if isinstance(value, Glob):
        files = sorted(path.stem for path in (CONF / key).glob("*.yaml"))
        return [f"{key}={name}" for name in value.filter(files)]
    if override.is_sweep_override():
        return [f"{key}={value}" for value in override.sweep_string_iterator()]
    return [str(override.input_line)]


def curves_of(words: Sequence[str]) -> Curves:
    """Build the optimizer and schedule of a run, and move the schedule as Lightning does.

    Raises:
        ValueError: the run has no length, or something does not fit.
    """
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", overrides=list(words), return_hydra_config=True)
    keys = ("data", "model", "optimizer", "param_groups", "scheduler", "trainer", "monitor")
    config = {key: OmegaConf.to_container(OmegaConf.create({key: cfg[key]}, parent=cfg), resolve=True)[key] for key in keys}
    with allowing(cfg.allow):
        data, module = instantiate(config["data"]), instantiate(config["model"])
        optimizer = build_optimizer(
            config["optimizer"],
            module.named_parameters(),
            config["param_groups"],
            sparse=sparse_parameter_names(module),
        )
        trainer = config["trainer"]
        epoch = math.ceil(len(data.train_dataloader()) / trainer["accumulate_grad_batches"])
        steps = trainer["max_steps"] if trainer["max_steps"] > 0 else trainer["max_epochs"] * epoch
        if steps <= 0:
            raise ValueError(f"the run has no end; set trainer.max_steps (it is {steps})")
        entry = build_schedule(
            config["scheduler"],
            optimizer,
            total_steps=steps,
            steps_per_epoch=epoch,
            monitor=config["monitor"],
        )
    rates: dict[str, list[float]] = {str(g.get("name", i)): [] for i, g in enumerate(optimizer.param_groups)}
    for step in range(steps):
        for group, column in zip(optimizer.param_groups, rates.values(), strict=True):
            column.append(float(group["lr"]))
        if entry:
            _move(entry, step, epoch)
    choices = cfg.hydra.runtime.choices
    plateau = entry and isinstance(entry["scheduler"], ReduceLROnPlateau)
    changed = [word for word in words if not re.match(r"(scheduler|task)=", word)]
    return Curves(
        " ".join([choices.scheduler, *changed]),
        choices.task,
        rates,
        f"if {entry['monitor']} never got better" if entry and plateau else "",
    )


def _move(entry: dict[str, Any], step: int, epoch: int) -> None:
    count = step % epoch + 1
    if entry["interval"] == "epoch":
        count = 0 if count < epoch else (step + 1) // epoch
    if not count or count % entry["frequency"]:
        return
    scheduler = entry["scheduler"]
    with warnings.catch_warnings():
        # Nothing is trained here, so no optimizer step comes before.
        warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
        scheduler.step(*([1.0] if isinstance(scheduler, ReduceLROnPlateau) else []))


def draw(panels: Sequence[Curves]) -> Figure:
    """One panel for each run, with a line for each parameter group."""
    columns = min(len(panels), 1 if len(panels) == 1 else 3 if len(panels) < 10 else 4)
    rows = math.ceil(len(panels) / columns)
    width, height = (7.5, 4.2) if len(panels) == 1 else (3.6 * columns, 2.5 * rows)
    style = {"font.size": 10, "axes.edgecolor": INK, "text.color": INK, "axes.labelcolor": INK}
    with mpl.rc_context({**style, "xtick.color": INK, "ytick.color": INK}):
        figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
        axes = figure.subplots(rows, columns, squeeze=False, sharey=True)
        for axis, panel in itertools.zip_longest(axes.flat, panels):
            if panel is None:
                axis.set_visible(False)
            else:
                _draw_panel(axis, panel)
        for axis in axes[:, 0]:
            axis.set_ylabel("learning rate")
        for axis in axes.T.flat if rows == 1 else axes[-1]:
            axis.set_xlabel("optimizer step")
    return figure


def _draw_panel(axis: Axes, panel: Curves) -> None:
    same: dict[tuple[float, ...], list[str]] = {}
    for name, column in panel.rates.items():
        same.setdefault(tuple(column), []).append(name)
    for (column, _), color in zip(same.items(), itertools.cycle(COLORS)):
        axis.plot([*column, column[-1]], color=color, linewidth=2, drawstyle="steps-post")
    axis.set_title(panel.title, loc="left", fontweight="bold")
    axis.set_ylim(bottom=0)
    axis.margins(x=0)
    axis.grid(axis="y", color=GRID)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    axis.yaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_major_formatter("{x:,.0f}")


if __name__ == "__main__":
    main()
