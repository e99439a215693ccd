"""Draw the plots of runs from their folders, for example of a sweep's runs without one.

    python -m stepsize plot outputs/runs/2026-01-31_12-00-00.000000_curve-adam
    python -m stepsize plot outputs/sweeps/NAME

A plot is the one that the run's configuration names, such as fit.png, and shows the weights of
checkpoints/last.ckpt. It is written into the run's folder. Of a sweep, all runs are drawn.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "folders", type=Path, nargs="+", metavar="RUN", help="the folder of a run or of a sweep"
    )


def run(arguments: argparse.Namespace) -> str:
    """Draw every plot of the runs' configurations.

    Returns:
        The path of the plot; of several, each is printed when it is drawn, and this is their count.

    Raises:
        ValueError: a folder is not a run's, or a plot needs what the checkpoint lacks; the other
            runs are drawn.
    """
    from stepsize.run.errors import one_line
    from stepsize.sweeps.plots import draw_run

    folders, skipped = _runs(arguments.folders)
    plots: list[Path] = []
    errors = []
    for folder in folders:
        try:
            drawn = draw_run(folder)
            if not drawn:
                raise ValueError(f"{folder}: the configuration names no plot, see callbacks.plot")
        except Exception as error:
            errors.append(one_line(error))
            continue
        plots += drawn
        if len(folders) > 1:
            print(*drawn, sep="\n", flush=True)
    if errors:
        more = f"; and {len(errors) - 1} more runs were not drawn" if len(errors) > 1 else ""
        raise ValueError(f"{errors[0]}{more}")
    if len(folders) == 1:
        return "\n".join(map(str, plots))
    without = f"; {skipped} runs have no checkpoints/last.ckpt" if skipped else ""
    return f"{len(plots)} plots of {len(folders)} runs{without}"


def _runs(folders: Sequence[Path]) -> tuple[list[Path], int]:
    """The runs of the folders, and how many runs of sweeps are skipped without a checkpoint."""
    from stepsize.report.read import read_sweep

    runs: list[Path] = []
    skipped = 0
    for folder in folders:
        if (folder / ".hydra").is_dir():
            runs.append(folder)
            continue
        found = [run.folder for run in read_sweep(folder).runs]
        saved = [run for run in found if (run / "checkpoints" / "last.ckpt").is_file()]
        if not saved:
            raise ValueError(f"{folder}: none of its {len(found)} runs has checkpoints/last.ckpt")
        runs += saved
        skipped += len(found) - len(saved)
    return list(dict.fromkeys(runs)), skipped
