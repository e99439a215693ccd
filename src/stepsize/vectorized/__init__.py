"""Trains many runs as one program: their weights in one tensor, torch's own optimizers.

The files in the order in which a sweep uses them:

- ``launcher``: the jobs, composed by ``templates``, are distributed over forked processes.
- ``groups``: the runs that one program can train, their initial weights and data, and each
  ``variant``: an optimizer with its schedule. ``eligibility`` lists the reasons against.
- ``training``: the loop. ``stack`` holds the weights of all runs, each in the ``layout`` of one
  row; ``batches`` the data; ``objective`` computes gradients in chunks of runs whose size
  ``autotune`` measures; ``steppers`` step, with a ``per_run_scalar`` where runs differ;
  ``recording`` keeps the metrics.
- ``outcome``: the result of a run, of which ``folders`` writes the files.
"""

from stepsize.vectorized.groups import Group, group_jobs
from stepsize.vectorized.outcome import Outcome
from stepsize.vectorized.training import NotVectorizableError, Training

__all__ = ["Group", "NotVectorizableError", "Outcome", "Training", "group_jobs"]
