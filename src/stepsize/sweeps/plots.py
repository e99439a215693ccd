"""Draws the plots of runs from their checkpoints: at the end of a sweep, and on demand."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stepsize.report.labels import name_settings
from stepsize.report.read import RunRow, Sweep
from stepsize.report.task import Entry, compare_tasks
from stepsize.run.errors import one_line
from stepsize.run.saved import SavedRun

if TYPE_CHECKING:
    import numpy as np

    from stepsize.plots.callback import Plot


def draw_sweep(sweep: Sweep, plots: bool | str) -> None:
    """Draw what ``plots`` asks for and no run has drawn; an error is one line on the console.

    Args:
        sweep: all runs have ended.
        plots: of the sweep's configuration. "auto": the best and the median run of each optimizer
            on each task; true: all runs, of which an earlier command may have left some without a
            plot; false: none.
    """
    if plots is False:
        return
    errors = []
    try:
        runs = sweep.runs if plots is True else best_and_median_runs(sweep)
        folders = [run.folder for run in runs if run.finished and _lacks_plot(run.folder)]
    except Exception as error:
        folders, errors = [], [one_line(error)]
    for folder in folders:
        try:
            draw_run(folder, for_tensorboard=True)
        except Exception as error:
            errors.append(f"{folder.name}: {one_line(error)}")
    if errors:
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        print(f"not drawn: {errors[0]}{more}", file=sys.stderr)


def best_and_median_runs(sweep: Sweep) -> list[RunRow]:
    """The best and the median run of each optimizer on each task, at its best setting.

    Optimizers are the methods of the report's labels, and its ranking decides what is best.
    """
    chosen = []
    for comparison in compare_tasks(sweep.runs, name_settings(sweep.runs)):
        best: dict[str, Entry] = {}
        for entry in comparison.entries:  # the best setting first
            best.setdefault(entry.setting.method, entry)
        for entry in best.values():
            chosen += _best_and_median(entry)
    return chosen


def _best_and_median(entry: Entry) -> list[RunRow]:
    sign = -1.0 if entry.measure.mode == "max" else 1.0
    values = {run.folder: entry.measure.of(run, "final") for run in entry.runs}
    ranked = sorted(
        (run for run in entry.runs if values[run.folder] is not None),
        key=lambda run: sign * (values[run.folder] or 0.0),
    )
    places = sorted({0, (len(ranked) - 1) // 2})  # of two runs in the middle, the better one
    return [ranked[place] for place in places if ranked]


def _lacks_plot(folder: Path) -> bool:
    """Whether a run has a checkpoint, and no plot that is as new."""
    checkpoint = folder / "checkpoints" / "last.ckpt"
    if not checkpoint.is_file():
        return False
    saved = checkpoint.stat().st_mtime_ns
    return not any(plot.stat().st_mtime_ns >= saved for plot in folder.glob("*.png"))


def draw_run(folder: Path, *, for_tensorboard: bool = False) -> list[Path]:
    """Draw every plot of a run's configuration, with the weights of ``checkpoints/last.ckpt``.

    Args:
        folder: of the run.
        for_tensorboard: whether to add the plots to the run's event file too.

    Returns:
        The files; none where the configuration names no plot.

    Raises:
        ValueError: there is no checkpoint, or the plot needs what the checkpoint lacks.
    """
    from stepsize.config.instantiate import allowing
    from stepsize.optim import build_optimizer, sparse_parameter_names

    saved = SavedRun.of(folder)
    config = saved.config
    with allowing(config["allowed_packages"]):
        plots = list(_plots(config))
        if not plots:
            return []
        checkpoint = saved.checkpoint
        for plot in plots:
            _load_state(plot, checkpoint["callbacks"])
        data, module = saved.build()
        data.prepare_data()
        data.setup("fit")
        optimizer = build_optimizer(
            config["optimizer"],
            module.named_parameters(),
            config["param_groups"],
            sparse=sparse_parameter_names(module),
        )
        for plot in plots:
            image = plot.save(module, data, [optimizer], checkpoint["global_step"])
            if for_tensorboard:
                _append_to_events(config, plot.tag, image, checkpoint["global_step"])
    return [plot.file for plot in plots]


def _plots(config: dict[str, Any]) -> Iterable[Plot]:
    from stepsize.config.instantiate import instantiate, locate
    from stepsize.plots.callback import Plot

    for name, entry in (config["callbacks"] or {}).items():
        kind = locate(entry["_target_"]) if entry else None
        if isinstance(kind, type) and issubclass(kind, Plot):
            yield instantiate(entry, where=f"callbacks.{name}")


def _load_state(plot: Plot, saved: dict[str, Any]) -> None:
    """Load what a plot has collected while the run trained."""
    if not plot.state_dict():
        return
    if plot.state_key not in saved:
        raise ValueError(
            f"{plot.file.name} needs what a run collects while it trains, and the checkpoint does "
            "not hold it: train again with plots=auto or plots=true"
        )
    plot.load_state_dict(saved[plot.state_key])


def _append_to_events(config: dict[str, Any], tag: str, plot: np.ndarray, step: int) -> None:
    from torch.utils.tensorboard.summary import image

    from stepsize.loggers.event_file import append_summary

    for logger in (config["logger"] or {}).values():
        if logger and "folder" in logger:
            append_summary(Path(logger["folder"]), image(tag, plot, dataformats="HWC"), step)
