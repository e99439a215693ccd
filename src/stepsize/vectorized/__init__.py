"""Many runs as one program: all weights in one tensor, torch's optimizers on slices of it.

The way of a sweep, to be read in this order:

- ``launching``: jobs, composed by ``templates``, are shared out among ``forks``.
- ``groups``: which runs can be trained together (``eligible``, ``stepping``, ``trial``), and what
  each starts from (``building``, ``setting``).
- ``training``: the loop, over a ``stack`` of weights. An ``objective`` gives the gradients, in
  ``programs`` whose ``pace`` was measured; ``updates`` step, with numbers for ``each`` run; a
  ``recording`` keeps the ``curves``.
- ``folders``: an ``outcome`` of each run becomes files, ``events`` and ``checkpoints``.
"""

from stepsize.vectorized.groups import Group, sort_out
from stepsize.vectorized.outcome import Outcome
from stepsize.vectorized.training import CannotStackError, Training

__all__ = ["CannotStackError", "Group", "Outcome", "Training", "sort_out"]
