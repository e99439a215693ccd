"""A column of your own in the report: one entry in the list of columns.

    python train.py --config-dir examples/conf sweep=own_report_column

At the end of a sweep, stepsize imports the modules in ``allowed_packages``, and with them this one,
and writes the report: report.html, report.md and results.csv have the column. To write a report
again: ``python -m stepsize compare FOLDER --columns examples.own_report_column``.
"""

from stepsize.report.columns import COLUMNS, Column
from stepsize.report.read import RunRow


def microseconds_per_step(run: RunRow) -> float | None:
    """The value of one run. A RunRow has what result.json holds, as attributes."""
    if not run.steps or run.seconds is None:
        return None  # an empty cell
    return 1e6 * run.seconds / run.steps


COLUMNS.append(
    Column(
        "us per\nstep",  # the heading in the tables; \n breaks the line
        # results.csv has the value of each run. The tables have the median over the seeds of a
        # hyperparameter setting; of_setting=... gives another summary.
        of_run=microseconds_per_step,
        legend="Us per step is the wall time of a run, files included, divided by its steps.",
        csv="us_per_step",  # the heading in results.csv
    )
)
