"""Many runs as one program: all weights in one tensor, torch's optimizers on slices of it."""

from stepsize.vectorized.groups import Group, sort_out
from stepsize.vectorized.outcome import Outcome
from stepsize.vectorized.training import CannotStackError, Training

__all__ = ["CannotStackError", "Group", "Outcome", "Training", "sort_out"]
