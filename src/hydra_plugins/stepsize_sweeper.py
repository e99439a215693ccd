"""Hydra's sweeper of ``python train.py -m`` and ``sweep=NAME``; see :mod:`stepsize.sweeps`.

Hydra imports this file at every start, also for ``--help``, so that nothing heavy is imported at
the top. It runs the file before it registers the module, so that the dataclass cannot have
postponed annotations.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Optional

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from omegaconf import OmegaConf

import stepsize.sweeps.jobs  # noqa: F401  (registers the resolvers that conf/train.yaml uses)


@dataclass
class GridConf:
    """The keys of ``hydra.sweeper``, which a file of conf/sweep sets.

    Attributes:
        max_batch_size: jobs that the launcher gets at once; null for all.
        params: the grid, ``{key: values}`` in Hydra's grammar: ``range(10)``, ``glob(*)``, ``a,b``.
        skip_incompatible: skip optimizers that cannot train the task's model, and report why.
        final_stage: null, or ``{select_best_per: KEY, seeds: VALUES}``: for each value of KEY, the
            best hyperparameter setting of the grid is run again on these fresh seeds.
        baseline: what the report compares with, such as an optimizer's name.
    """

    _target_: str = "hydra_plugins.stepsize_sweeper.Grid"
    # OmegaConf reads Hydra's schemas and supports no `int | None` in them.
    max_batch_size: Optional[int] = None  # noqa: UP045
    params: Any = None
    skip_incompatible: bool = False
    final_stage: Any = None
    baseline: Optional[str] = None  # noqa: UP045


ConfigStore.instance().store(
    group="hydra/sweeper",
    name="stepsize",
    # Not struct, so that Grid itself names the keys that there are, and renamed ones.
    node=OmegaConf.structured(GridConf, flags={"struct": False}),
    provider="stepsize",
)


class Grid(BasicSweeper):
    """Runs every combination that is not done yet, then the final stage."""

    def __init__(
        self,
        max_batch_size: int | None = None,
        params: dict[str, str] | None = None,
        skip_incompatible: bool = False,
        final_stage: dict[str, Any] | None = None,
        baseline: str | None = None,
        **unknown: Any,
    ) -> None:
        super().__init__(max_batch_size, params)
        self.skip_incompatible = skip_incompatible
        self.final_stage = final_stage
        self.baseline = baseline
        self.unknown = unknown  # keys that a file of conf/sweep made up

    def sweep(self, arguments: list[str]) -> list[Sequence[JobReturn]]:
        """Run the grid of the sweep's file and the command line; see ``run_grid``."""
        from stepsize.config.schema import check_plots, refuse_renamed_keys
        from stepsize.run.errors import errors_in_one_line
        from stepsize.sweeps.grid import run_grid
        from stepsize.sweeps.jobs import refuse_repeated
        from stepsize.sweeps.lifecycle import leaving_on_signals

        assert self.config is not None
        assert self.hydra_context is not None
        assert self.launcher is not None
        with errors_in_one_line(), leaving_on_signals():
            refuse_renamed_keys(self.unknown, prefix="hydra.sweeper.")
            if self.unknown:
                known = ", ".join(field.name for field in fields(GridConf)[1:])
                raise ValueError(f"hydra.sweeper.{min(self.unknown)} does not exist; give {known}")
            check_plots(self.config.plots)  # each run would fail with the same message
            refuse_repeated(arguments)
            return run_grid(
                overrides=[*self._parse_config(), *arguments],
                config=self.config,
                loader=self.hydra_context.config_loader,
                launch=self.launcher.launch,
                folder=Path(self.config.hydra.sweep.dir),
                max_batch_size=self.max_batch_size,
                skip_incompatible=self.skip_incompatible,
                final_stage=self.final_stage,
                baseline=self.baseline,
            )
