"""A whole sweep on one line: runs done, running, diverged and failed, and the time left."""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from stepsize.earlier import Earlier

_SECONDS_BETWEEN_LOOKS = 0.5
_SECONDS_BETWEEN_LINES = 10.0


class SweepProgress:
    """Watches a sweep's folder, whoever runs the jobs: this process, others, other machines.

    On a terminal the line renews itself; elsewhere there is one every ten seconds while something
    happens. A run that failed or diverged is told when it ends.

    Args:
        folder: the sweep's.
        console: where to.
    """

    def __init__(self, folder: Path, console: Console | None = None) -> None:
        self._folder = folder
        self._console = console or Console()
        self._began = time.time()
        self._ended: dict[str, str] = {}
        self._before = 0  # done by earlier commands
        self._stop = threading.Event()
        self._bar: Progress | None = None
        self._next_line = 0.0
        self._total = (0.0, 0)  # of which version of sweep.json
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def start(self) -> None:
        for name in self._runs():
            if Earlier.look(self._folder / name).is_done:
                self._ended[name] = "before"
        self._before = len(self._ended)
        self._thread.start()

    def stop(self) -> None:
        """Look a last time, and leave the line as it is."""
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(_SECONDS_BETWEEN_LOOKS):
            self._look()
        self._look()
        if self._bar is not None:
            self._bar.stop()

    def _look(self) -> None:
        running = 0
        for name in self._runs():
            if name in self._ended:
                continue
            if not self._is_of_now(name, "result.json"):
                running += self._is_of_now(name, os.path.join(".hydra", "config.yaml"))
                continue
            result = Earlier.look(self._folder / name).result
            if result:
                self._ended[name] = status = str(result["status"])
                if status != "completed":
                    self._say(f"{status}  {name}: {result['reason']}")
        if running or len(self._ended) > self._before:
            self._show(running)

    def _runs(self) -> list[str]:
        try:
            return sorted(entry.name for entry in os.scandir(self._folder) if entry.is_dir())
        except FileNotFoundError:
            return []

    def _is_of_now(self, name: str, file: str) -> bool:
        try:
            return (self._folder / name / file).stat().st_mtime >= self._began
        except (FileNotFoundError, NotADirectoryError):
            return False

    def _say(self, text: str) -> None:
        console = self._bar.console if self._bar is not None else self._console
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _show(self, running: int) -> None:
        done, total = len(self._ended), self._planned()
        counts = Counter(self._ended.values())
        words = [f"{running} running"] if running else []
        words += [f"{counts[s]} {s}" for s in ("diverged", "failed", "interrupted") if counts[s]]
        now = done - self._before
        if now and total and done < total:
            words.append(f"{_clock((time.time() - self._began) / now * (total - done))} left")
        if self._console.is_terminal:
            if self._bar is None:
                self._bar = Progress(
                    TextColumn("[bold]sweep"),
                    BarColumn(bar_width=None),
                    MofNCompleteColumn(),
                    TextColumn("{task.fields[words]}"),
                    console=self._console,
                    auto_refresh=False,
                )
                self._bar.add_task("sweep", total=None, words="")
                self._bar.start()
            shown = " · ".join(["runs", *words])
            self._bar.update(self._bar.task_ids[0], completed=done, total=total, words=shown)
            self._bar.refresh()
        elif time.time() > self._next_line:
            self._say(" · ".join([f"{done}/{total or '?'} runs", *words]))
            self._next_line = time.time() + _SECONDS_BETWEEN_LINES

    def _planned(self) -> int | None:
        """How many runs the sweep is to have; None where no plan says so."""
        file = self._folder / "sweep.json"
        try:
            changed = file.stat().st_mtime
        except FileNotFoundError:
            return None
        if changed != self._total[0]:
            self._total = (changed, len(json.loads(file.read_text("utf-8"))["jobs"]))
        return self._total[1]


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
