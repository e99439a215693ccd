"""Hydra's callback for a sweep: progress while it runs; report, table and exit status after it."""

from __future__ import annotations

import atexit
import importlib
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

import stepsize.sweeps.jobs  # noqa: F401  (registers resolvers in a parallel launcher's processes)

if TYPE_CHECKING:
    from stepsize.report.report import Report
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
        folder, self._folder = self._folder, None
        if folder is None:
            return
        from stepsize.report.answer import answer_sweeps
        from stepsize.report.read import read_sweep
        from stepsize.sweeps.console import print_end
        from stepsize.sweeps.plots import draw_sweep

        progress, self._progress = self._progress, None
        if progress is not None:
            progress.report()
        try:
            sweep = read_sweep(folder)
            report = _report(folder, config.allowed_packages)
            draw_sweep(sweep, config.plots)
        except ValueError as error:
            raise SystemExit(str(error)) from None
        finally:
            if progress is not None:
                progress.stop()
        answer = report.answer if report else answer_sweeps([sweep])
        print_end(sweep, answer, report.page if report else None)
        # SystemExit, because Hydra turns any other exception of a callback into a warning.
        if report is None or any(run.status not in _ENDED_WELL for run in sweep.runs):
            raise SystemExit(1)

    def _on_exit(self) -> None:
        """Say how to continue a sweep that did not reach its end."""
        folder, self._folder = self._folder, None
        progress, self._progress = self._progress, None
        step = progress.step if progress is not None else None
        if progress is not None:
            progress.stop()
        if folder is None or not (folder / "sweep.json").is_file():
            return
        from stepsize.report.read import read_sweep
        from stepsize.sweeps.console import print_interruption

        print_interruption(read_sweep(folder), ended_by(), step)


_exit_status: int | None = None  # 128 + the number of the signal that ended the sweep


@contextmanager
def leaving_on_signals() -> Iterator[None]:
    """Exit on Ctrl-C without a traceback, and remember which signal has ended the sweep.

    A run that is interrupted in this process, between two of its steps, exits with the status of
    the signal too.
    """
    global _exit_status
    try:
        yield
    except KeyboardInterrupt:
        _exit_status = 130  # 128 + SIGINT, as shells count
        raise SystemExit(_exit_status) from None
    except SystemExit as error:
        _exit_status = error.code if isinstance(error.code, int) else None
        raise


def ended_by() -> str:
    """What has ended the sweep before its end."""
    return {130: "Ctrl-C", 143: "SIGTERM"}.get(_exit_status or 0, "an error")


def _exit_on_sigterm(signum: int, frame: Any) -> None:
    """Exit as on Ctrl-C; while Lightning trains, its own handler does so between two steps."""
    global _exit_status
    if signal.getsignal(signal.SIGTERM) is _exit_on_sigterm:
        _exit_status = 128 + signum
        sys.exit(_exit_status)


def _report(folder: Path, packages: Sequence[str]) -> Report | None:
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

        return write_report([folder], folder / "report")
    except Exception as error:
        print(f"no report: {one_line(error)}", file=sys.stderr)
        return None
