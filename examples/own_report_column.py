"""A column of your own in the report: one entry in the list of columns.

    python train.py --config-dir examples/conf sweep=own_report_column

The sweep's file names the class below as a Hydra callback. Hydra calls it before the first run, and
the report at the end has the column in report.html, report.md and results.csv. In a project of your
own it is shorter: append to ``COLUMNS`` in a module that your train.py imports.
"""

from typing import Any

from hydra.experimental.callback import Callback

from stepsize.report.columns import COLUMNS, Column, median_over_seeds
from stepsize.report.read import RunRow


def microseconds_per_step(run: RunRow) -> float | None:
    """The value of one run. A RunRow has what result.json holds, as attributes."""
    if not run.steps or run.seconds is None:
        return None  # an empty cell
    return 1e6 * run.seconds / run.steps


class OwnReportColumn(Callback):
    """Adds the column when a sweep starts."""

    def on_multirun_start(self, config: Any, **kwargs: Any) -> None:
        COLUMNS.append(
            Column(
                "us per\nstep",  # the heading in the tables; \n breaks the line
                microseconds_per_step,  # of a run, in results.csv
                median_over_seeds(microseconds_per_step),  # of a setting, in the tables
                "Us per step is the wall time of a run, files included, divided by its steps.",
                name="us_per_step",  # the heading in results.csv
            )
        )
