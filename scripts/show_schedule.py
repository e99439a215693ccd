"""Draw the rates that a run would train with, without training.

    python scripts/show_schedule.py scheduler=warmup_cosine
    python scripts/show_schedule.py scheduler=onecycle task=digits param_groups=head
    python scripts/show_schedule.py 'scheduler=cosine,onecycle,step' trainer.max_steps=500
    python scripts/show_schedule.py 'scheduler=glob(*)'

The words are those of train.py. Values separated by commas make one panel each. The plot goes to
outputs/schedules/.
"""

from __future__ import annotations

import argparse
import itertools
import math
import re
import sys
import warnings
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch.optim.lr_scheduler import ReduceLROnPlateau

from stepsize.config.instantiate import allowing, instantiate
from stepsize.optim import build_optimizer, build_schedule, sparse_parameter_names
from stepsize.plots.schedule import Panel, draw_panels

CONF = Path(__file__).resolve().parents[1] / "conf"


def main() -> None:
    """Draw what the command line asks for, and print the plot's path."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("words", nargs="*", metavar="GROUP=NAME or KEY=VALUE")
    words = parser.parse_args().words
    try:
        choices = [_choices(word) for word in OverridesParser.create().parse_overrides(words)]
        swept = {word for several in choices if len(several) > 1 for word in several}
        panels = [draw_up(combination, swept) for combination in itertools.product(*choices)]
    except (ValueError, HydraException, OmegaConfBaseException) as error:
        sys.exit(str(error))
    titles = [panel.title for panel in panels] if len(panels) < 5 else [f"{len(panels)} schedules"]
    shared = [several[0] for several in choices if several[0] not in swept]
    named = [*titles, *(word for word in shared if not word.startswith("scheduler="))]
    path = Path("outputs", "schedules", re.sub(r"[^\w.=-]+", "_", " ".join(named))[:200] + ".png")
    path.parent.mkdir(parents=True, exist_ok=True)
    draw_panels(panels).savefig(path, dpi=160)
    print(path)


def _choices(override: Override) -> list[str]:
    """The words that a word stands for, as in Hydra's multirun."""
    key, value = override.get_key_element(), override.value()
    if isinstance(value, Glob):
        files = sorted(path.stem for path in (CONF / key).glob("*.yaml"))
        return [f"{key}={name}" for name in value.filter(files)]
    if override.is_sweep_override():
        return [f"{key}={value}" for value in override.sweep_string_iterator()]
    return [str(override.input_line)]


def draw_up(words: Sequence[str], swept: Collection[str] = ()) -> Panel:
    """Build the optimizer and the schedule of a run, and move the schedule as Lightning does.

    Args:
        words: overrides of the training configuration.
        swept: those that differ between panels; they go into the title.

    Raises:
        ValueError: the run has no end, or something does not fit.
    """
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", overrides=list(words), return_hydra_config=True)
    config: dict[str, Any] = {
        key: OmegaConf.to_container(cfg[key], resolve=True)
        for key in ("data", "model", "optimizer", "param_groups", "scheduler", "trainer")
    }
    trainer = config["trainer"]
    with allowing(cfg.allowed_packages):
        data = instantiate(config["data"], where="data")
        module = instantiate(config["model"], where="model")
        epoch = math.ceil(len(data.train_dataloader()) / trainer["accumulate_grad_batches"])
        steps = trainer["max_steps"] if trainer["max_steps"] > 0 else trainer["max_epochs"] * epoch
        if steps < 1:
            raise ValueError("the run has no end; give a number of steps with trainer.max_steps")
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
    rates: dict[str, list[float]] = {name: [] for name in names}
    for step in range(steps):
        for name, group in zip(names, optimizer.param_groups, strict=True):
            rates[name].append(float(group["lr"]))
        if entry:
            _move(entry, step, epoch)
    chosen = cfg.hydra.runtime.choices
    named = (f"scheduler={chosen.scheduler}", f"task={chosen.task}")
    special = [word for word in words if word not in named and (word in swept or not swept)]
    title, note = [chosen.scheduler], [chosen.task]
    (title if swept else note).extend(special)
    if entry and isinstance(entry["scheduler"], ReduceLROnPlateau):
        note.append(f"if {entry['monitor']} never got better")
    return Panel(" ".join(title), ", ".join(note), rates)


def _move(entry: dict[str, Any], step: int, epoch: int) -> None:
    count = step % epoch + 1
    if entry["interval"] == "epoch":
        count = (step + 1) // epoch if count == epoch else 0
    if not count or count % entry["frequency"]:
        return
    scheduler = entry["scheduler"]
    with warnings.catch_warnings():
        # Nothing is trained here, so no optimizer step comes before.
        warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
        scheduler.step(*([1.0] if isinstance(scheduler, ReduceLROnPlateau) else []))


if __name__ == "__main__":
    main()
