"""A column of your own in the report: one entry in the list of columns.

    python train.py --config-dir examples/conf sweep=own_report_column

A sweep imports the modules that ``allowed_packages`` names before it writes its report. This file
therefore only appends to ``COLUMNS``, and the column is in report.html, report.md and results.csv.

The report reads run folders and nothing else. A value that result.json does not have is logged by
the run: own_callback.py logs one, and ``run.metrics["distance"]["final"]`` then is its last value.
"""

from stepsize.report.columns import COLUMNS, Column
from stepsize.report.read import RunRow


def microseconds_per_step(run: RunRow) -> float | None:
    """The value of one run; it is what result.json and metrics.csv hold, as attributes."""
    if not run.steps or run.seconds is None:
        return None  # an empty cell
    return 1e6 * run.seconds / run.steps


COLUMNS.append(
    Column(
        "us per\nstep",  # the heading; \n breaks the line in the table
        microseconds_per_step,  # of a run, for results.csv; the tables show the median over seeds
        legend="Us per step is the wall time of a run, files included, divided by its steps.",
        csv="us_per_step",  # the heading in results.csv
    )
)
