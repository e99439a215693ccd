"""Write the report of one sweep again, or one report of several sweeps.

    python -m stepsize compare outputs/sweeps/lr_grid outputs/sweeps/schedules
    python -m stepsize compare outputs/sweeps/lr_grid --baseline sgd
    python -m stepsize compare outputs/runs

The report of one folder is FOLDER/report; that of several folders is in outputs/reports/.
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "folders", nargs="+", type=Path, metavar="FOLDER", help="a sweep's, or any with run folders"
    )
    parser.add_argument(
        "--baseline", metavar="NAME", help="the optimizer or other choice to compare with"
    )
    parser.add_argument(
        "--columns", nargs="+", default=[], metavar="MODULE",
        help="modules that add columns to stepsize.report.columns.COLUMNS",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="DIR", help="the report's folder")


def run(arguments: argparse.Namespace) -> Path:
    """Write the report and return the path of its page.

    Raises:
        ValueError: a folder holds no runs, or the baseline is not one of the choices.
    """
    from stepsize.report.report import write_report

    for module in arguments.columns:
        importlib.import_module(module)
    out = arguments.out or _default_folder(arguments.folders)
    return write_report(arguments.folders, out, baseline=arguments.baseline).page


def _default_folder(folders: list[Path]) -> Path:
    if len(folders) == 1:
        return folders[0] / "report"
    names = "+".join(folder.resolve().name for folder in folders)
    return Path("outputs", "reports", names[:200])
