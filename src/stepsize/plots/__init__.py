"""Plots of what a run has trained; a task's file names one as ``callbacks.plot``.

To add one, write a subclass of :class:`stepsize.plots.callback.Plot` in a file here, and name it
below.
"""

from importlib import import_module
from typing import Any

_FILES = {
    "ConfusionMatrix": "confusion_matrix",
    "DecisionBoundary": "decision_boundary",
    "Fit": "fit",
    "Predictions": "predictions",
    "Scores": "scores",
    "Trajectory": "trajectory",
}


def __getattr__(name: str) -> Any:
    """Import a plot at its first use: the report needs the style only, and not Lightning."""
    if name not in _FILES:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(import_module(f"{__name__}.{_FILES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *_FILES]
