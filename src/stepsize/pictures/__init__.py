"""Pictures of a finished fit, to be named in a task's file as ``callbacks.picture``.

To add one, write a subclass of :class:`stepsize.callbacks.picture.Picture` in a file here, and name
it below.
"""

from stepsize.pictures.confusion_matrix import ConfusionMatrix
from stepsize.pictures.decision_boundary import DecisionBoundary
from stepsize.pictures.fit import Fit
from stepsize.pictures.predictions import Predictions
from stepsize.pictures.scores import Scores
from stepsize.pictures.trajectory import Trajectory

__all__ = [
    "ConfusionMatrix",
    "DecisionBoundary",
    "Fit",
    "Predictions",
    "Scores",
    "Trajectory",
]
