"""Lightning's advice that does not concern this project's runs, by name."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_HINTS = (
    # Lightning 2.6 asks torch 2.13's tree specs in an outdated way.
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",
    # A run on a login node, or started by a launcher, is no mistake.
    r"The `srun` command is available on your system but is not used",
    # Rows are logged at multiples of the interval over the whole run, not per epoch.
    r"The number of training batches \(\d+\) is smaller than the logging interval",
)


@contextmanager
def without_hints() -> Iterator[None]:
    """Silence these hints within the block; all other warnings are shown."""
    with warnings.catch_warnings():
        for message in _HINTS:
            warnings.filterwarnings("ignore", message=rf"(?s).*{message}")
        yield
