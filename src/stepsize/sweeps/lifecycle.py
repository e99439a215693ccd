"""How a sweep begins and ends: its line of progress, its report, its table, its exit status."""

from __future__ import annotations

import atexit
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

import stepsize.sweeps.jobs  # noqa: F401  (for the processes of parallel launchers)

if TYPE_CHECKING:
    from stepsize.sweeps.console import SweepProgress

_ENDED_WELL = ("completed", "diverged")


class SweepEnd(Callback):
    """A Hydra callback; it knows of a sweep what is on disk, and works under every launcher."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._progress: SweepProgress | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"_folder": None, "_progress": None}  # parallel launchers take callbacks along

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        from stepsize.sweeps.console import SweepProgress

        HydraConfig.instance().set_config(config)
        self._folder = Path(config.hydra.sweep.dir)
        # Where a sweep is cut off or refused, Hydra never comes to on_multirun_end.
        atexit.register(self._cut_off)
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, _terminate)
        self._progress = SweepProgress(self._folder)
        self._progress.start()

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        folder = self._close()
        if folder is None:
            return
        from stepsize.report.read import read_sweep
        from stepsize.sweeps.console import print_end

        try:
            sweep = read_sweep(folder)
        except ValueError as error:
            raise SystemExit(str(error)) from None
        report = _report(folder)
        print_end(sweep, report)
        # Hydra turns any other exception of a callback into a warning.
        if report is None or any(run.status not in _ENDED_WELL for run in sweep.runs):
            raise SystemExit(1)

    def _cut_off(self) -> None:
        folder = self._close()
        if folder is None or not (folder / "sweep.json").is_file():
            return
        from stepsize.report.read import read_sweep
        from stepsize.sweeps.console import print_end

        print_end(read_sweep(folder), None)

    def _close(self) -> Path | None:
        """Stop watching; the folder, the first time that this is asked."""
        folder, self._folder = self._folder, None
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
        return folder


def _terminate(signum: int, frame: Any) -> None:
    """Leave as on Ctrl-C; but while Lightning trains it does so itself, between two steps."""
    if signal.getsignal(signal.SIGTERM) is _terminate:
        sys.exit(128 + signum)


def _report(folder: Path) -> Path | None:
    """Write the report; a sweep's runs are worth more than it, so that its failure is only told."""
    from stepsize.run.errors import one_line

    try:
        from stepsize.report.report import write_report

        return write_report([folder], folder / "report")
    except Exception as error:
        print(f"no report: {one_line(error)}", file=sys.stderr)
        return None
