"""Hydra's callback for a sweep: progress while it runs; report, table and exit status after it."""

from __future__ import annotations

import atexit
import importlib
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

import stepsize.sweeps.jobs  # noqa: F401  (registers resolvers in a parallel launcher's processes)

if TYPE_CHECKING:
    from stepsize.sweeps.console import SweepProgress

_ENDED_WELL = ("completed", "diverged")


class SweepEnd(Callback):
    """Shows a sweep's progress and ends it with its report; works under every launcher.

    All that it knows of the runs is what they have written to disk.
    """

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._progress: SweepProgress | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"_folder": None, "_progress": None}  # parallel launchers pickle callbacks

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        from stepsize.sweeps.console import SweepProgress

        HydraConfig.instance().set_config(config)
        self._folder = Path(config.hydra.sweep.dir)
        # Hydra does not call on_multirun_end for a sweep that is interrupted or refused.
        atexit.register(self._on_exit)
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, _exit_on_sigterm)
        self._progress = SweepProgress(self._folder)
        self._progress.start()

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        folder = self._close()
        if folder is None:
            return
        from stepsize.report.read import read_sweep
        from stepsize.sweeps.console import print_end
        from stepsize.sweeps.plots import draw_sweep

        try:
            sweep = read_sweep(folder)
        except ValueError as error:
            raise SystemExit(str(error)) from None
        report = _report(folder, config.allowed_packages)
        draw_sweep(sweep, config.plots)
        print_end(sweep, report)
        # SystemExit, because Hydra turns any other exception of a callback into a warning.
        if report is None or any(run.status not in _ENDED_WELL for run in sweep.runs):
            raise SystemExit(1)

    def _on_exit(self) -> None:
        """Print the table of a sweep that did not reach its end."""
        folder = self._close()
        if folder is None or not (folder / "sweep.json").is_file():
            return
        from stepsize.report.read import read_sweep
        from stepsize.sweeps.console import print_end

        print_end(read_sweep(folder), None)

    def _close(self) -> Path | None:
        """Stop the progress; return the folder on the first call, None on any later one."""
        folder, self._folder = self._folder, None
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
        return folder


def _exit_on_sigterm(signum: int, frame: Any) -> None:
    """Exit as on Ctrl-C; while Lightning trains, its own handler does so between two steps."""
    if signal.getsignal(signal.SIGTERM) is _exit_on_sigterm:
        sys.exit(128 + signum)


def _report(folder: Path, packages: Sequence[str]) -> Path | None:
    """Write the report; errors are printed only, because they must not discard the sweep's runs.

    Args:
        folder: the sweep's.
        packages: ``allowed_packages``; importing them adds their columns to the report.
    """
    from stepsize.run.errors import one_line

    for package in packages:
        try:
            importlib.import_module(package)
        except Exception as error:
            print(
                f"allowed_packages: {package} adds no columns: {one_line(error)}", file=sys.stderr
            )
    try:
        from stepsize.report.report import write_report

        return write_report([folder], folder / "report").page
    except Exception as error:
        print(f"no report: {one_line(error)}", file=sys.stderr)
        return None
