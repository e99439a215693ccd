"""Plots of what a run has trained; a task's file names one as ``callbacks.plot``.

To add one, write a subclass of :class:`stepsize.plots.callback.Plot` in a file here, and import it
below.
"""

from stepsize.plots.confusion_matrix import ConfusionMatrix
from stepsize.plots.decision_boundary import DecisionBoundary
from stepsize.plots.fit import Fit
from stepsize.plots.predictions import Predictions
from stepsize.plots.scores import Scores
from stepsize.plots.trajectory import Trajectory

__all__ = [
    "ConfusionMatrix",
    "DecisionBoundary",
    "Fit",
    "Predictions",
    "Scores",
    "Trajectory",
]
