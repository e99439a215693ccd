"""Lightning callbacks: one file each, chosen by the groups in ``conf/callbacks``."""

from stepsize.callbacks.divergence import Divergence
from stepsize.callbacks.last_checkpoint import LastCheckpoint
from stepsize.callbacks.progress import Progress
from stepsize.callbacks.record import Record

__all__ = ["Divergence", "LastCheckpoint", "Progress", "Record"]
