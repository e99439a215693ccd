"""Lightning callbacks: one file each, chosen by the groups in ``conf/callbacks``."""

from stepsize.callbacks.divergence import Divergence
from stepsize.callbacks.group_table import GroupTable
from stepsize.callbacks.last_checkpoint import LastCheckpoint
from stepsize.callbacks.norms import Norms
from stepsize.callbacks.progress import Progress
from stepsize.callbacks.record import Record
from stepsize.callbacks.unfreeze import Unfreeze
from stepsize.callbacks.weight_averaging import WeightAveraging

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
