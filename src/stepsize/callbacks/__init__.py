"""Lightning callbacks: one file each, chosen by the groups in ``conf/callbacks``."""

from stepsize.callbacks.divergence import Divergence
from stepsize.callbacks.norms import Norms
from stepsize.callbacks.progress import Progress
from stepsize.callbacks.unfreeze import Unfreeze
from stepsize.callbacks.weight_averaging import WeightAveraging
from stepsize.checkpoint.last_checkpoint import LastCheckpoint
from stepsize.loggers.recorder import Record
from stepsize.optim.describe import GroupTable

__all__ = [
    "Divergence",
    "GroupTable",
    "LastCheckpoint",
    "Norms",
    "Progress",
    "Record",
    "Unfreeze",
    "WeightAveraging",
]
