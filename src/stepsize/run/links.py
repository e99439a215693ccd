"""Addresses that open TensorBoard on a comparison, by the settings that its query takes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote

_ADDRESS = "http://localhost:6006/"
MOST_RUNS = 500  # TensorBoard (2.21) selects none of more
_COLOURED_BY = ("optimizer", "scheduler", "param_groups", "model", "task")


def report_link() -> str:
    """The comparison of a report, without smoothing, which can reverse the order of two lines."""
    return f"{_ADDRESS}?smoothing=0&tagFilter={quote('^compare/', safe='')}#timeseries"


def runs_link(names: Iterable[str]) -> str:
    """The losses of a sweep's single runs, in one colour for each optimizer.

    Args:
        names: of the runs, as :func:`stepsize.sweeps.jobs.run_name` makes them. If all have one
            optimizer, the colours are by the next choice that varies: schedule, groups, model,
            task, or the first other key.
    """
    values = [dict(part.partition("=")[::2] for part in _parts(name)) for name in names]
    keys = [*_COLOURED_BY, *sorted({key for each in values for key in each} - {"seed"})]
    varied = (key for key in keys if len({each.get(key) for each in values}) > 1)
    key = next(varied, "optimizer")
    query = {
        "smoothing": "0",
        "runFilter": "seed=" if all("seed" in each for each in values) else "^(?!.*report/)",
        "runColorGroup": f"regex:{re.escape(key)}=([^,]+)",
        "tagFilter": "^(train|val)/loss",
    }
    pairs = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())
    return f"{_ADDRESS}?{pairs}#timeseries"


def _parts(name: str) -> list[str]:
    """``KEY=VALUE`` of a run's name; a comma inside of a list belongs to its value."""
    return re.split(r",(?=[\w./@]+=)", name)
