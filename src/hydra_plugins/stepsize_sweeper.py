"""The sweeper behind ``python train.py -m`` and ``sweep=NAME``; see :mod:`stepsize.sweeps`.

Hydra imports this file at every start, ``--help`` included: nothing heavy at the top. It runs it
before it knows the module, so that a dataclass here must do without postponed annotations.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn

import stepsize.sweeps.jobs  # noqa: F401  (registers the resolvers that conf/train.yaml uses)


@contextmanager
def _leaving_on_ctrl_c() -> Iterator[None]:
    """Leave without the traceback of where the sweep was waiting; its end is told by SweepEnd."""
    try:
        yield
    except KeyboardInterrupt:
        raise SystemExit(130) from None  # 128 + SIGINT, as shells count


@dataclass
class GridConf:
    """What ``hydra.sweeper`` may say; a sweep's file sets it.

    Attributes:
        max_batch_size: jobs that are given to the launcher at once; null for all.
        params: the grid, ``{key: values}`` in Hydra's grammar: ``range(10)``, ``glob(*)``, ``a,b``.
        skip_incompatible: leave out the optimizers that the task cannot take, and say why.
        final_stage: a second stage, ``{select_best_per: KEY, seeds: VALUES}``: of each value of
            KEY, the best hyperparameter setting on seeds that the grid has not used.
        baseline: what the report compares with, such as an optimizer's name.
    """

    _target_: str = "hydra_plugins.stepsize_sweeper.Grid"
    # Hydra's schemas are read by OmegaConf, which knows these types by their old names.
    max_batch_size: Optional[int] = None  # noqa: UP045
    params: Any = None
    skip_incompatible: bool = False
    final_stage: Any = None
    baseline: Optional[str] = None  # noqa: UP045


ConfigStore.instance().store(
    group="hydra/sweeper", name="stepsize", node=GridConf, provider="stepsize"
)


class Grid(BasicSweeper):
    """Every combination, one run each, but for those that are done; then a second stage."""

    def __init__(
        self,
        max_batch_size: int | None = None,
        params: dict[str, str] | None = None,
        skip_incompatible: bool = False,
        final_stage: dict[str, Any] | None = None,
        baseline: str | None = None,
    ) -> None:
        super().__init__(max_batch_size, params)
        self.skip_incompatible = skip_incompatible
        self.final_stage = final_stage
        self.baseline = baseline

    def sweep(self, arguments: list[str]) -> list[Sequence[JobReturn]]:
        """Run what is left to do of the grid that the sweep's file and the command line span."""
        from stepsize.run.errors import told_in_one_line
        from stepsize.sweeps.grid import run_grid

        assert self.config is not None
        assert self.hydra_context is not None
        assert self.launcher is not None
        with told_in_one_line(), _leaving_on_ctrl_c():
            return run_grid(
                words=[*self._parse_config(), *arguments],
                config=self.config,
                loader=self.hydra_context.config_loader,
                launch=self.launcher.launch,
                folder=Path(self.config.hydra.sweep.dir),
                max_batch_size=self.max_batch_size,
                skip_incompatible=self.skip_incompatible,
                final_stage=self.final_stage,
                baseline=self.baseline,
            )
