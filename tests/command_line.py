"""Commands such as ``python train.py ...``, without the seconds that their imports take.

Importing torch and Lightning takes ten times as long as a small run. A command is therefore a fork
of a server process that has imported both (multiprocessing's forkserver). All else is as in a new
process: working folder, environment, arguments, signals, output and exit status.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TRAIN = ROOT / "train.py"

PRELOADED = [
    "stepsize.main", "stepsize.vectorized", "stepsize.report.report", "torch.utils.tensorboard",
    "matplotlib.pyplot",
]  # fmt: skip
_STREAMS = ("out", "err")
_THREADS = {"OMP_NUM_THREADS": "1"}

_context: Any = None
if sys.platform == "linux":  # on other systems a fork after these imports is not safe
    os.environ.update(_THREADS)
    _context = multiprocessing.get_context("forkserver")
    _context.set_forkserver_preload(PRELOADED)


def start_command(
    *arguments: str,
    cwd: Path,
    script: Path | None = TRAIN,
    env: Mapping[str, str] | None = None,
    new: bool = False,
) -> Any:
    """Start ``python SCRIPT ARGUMENTS...``, or ``python -m MODULE ARGUMENTS...``.

    Args:
        arguments: what follows the file's name.
        cwd: the working folder.
        script: the Python file; None where the arguments begin with ``-m`` and a module.
        env: changes to the environment.
        new: True for a new interpreter with imports of its own.

    Returns:
        A :class:`subprocess.Popen`, or a :class:`ForkedCommand` with the same methods.
    """
    command = arguments if script is None else (str(script), *arguments)
    if _context is not None and not new:
        return ForkedCommand(command, cwd, dict(env or {}))
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=cwd, env={**os.environ, **_THREADS, **(env or {})},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def run_command(
    *arguments: str, cwd: Path, timeout: float = 300, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Wait for the end of :func:`start_command`, whose options these are."""
    process = start_command(*arguments, cwd=cwd, **options)
    out, err = process.communicate(timeout=timeout)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


class ForkedCommand:
    """A command in a fork of the server process, with the methods of :class:`subprocess.Popen`.

    Attributes:
        output: a folder with the files ``out`` and ``err``, which grow as the command writes.
    """

    def __init__(self, command: tuple[str, ...], cwd: Path, env: dict[str, str]) -> None:
        self.args = command
        self.output = Path(tempfile.mkdtemp())
        weakref.finalize(self, shutil.rmtree, self.output, ignore_errors=True)
        for name in _STREAMS:
            (self.output / name).touch()
        self._process = _context.Process(target=_execute, args=(command, cwd, env, self.output))
        self._process.start()
        self.pid: int = self._process.pid
        # Else multiprocessing waits at exit for a command that a failed test has left running.
        atexit.register(self._process.kill)

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        self.wait(timeout)
        out, err = ((self.output / name).read_text("utf-8") for name in _STREAMS)
        return out, err


def _execute(command: tuple[str, ...], cwd: Path, env: dict[str, str], output: Path) -> None:
    for descriptor, name in enumerate(_STREAMS, start=1):
        opened = os.open(output / name, os.O_WRONLY | os.O_APPEND)
        os.dup2(opened, descriptor)
        os.close(opened)
    # What a shell starts in the background ignores SIGINT, and so do its children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(cwd)
    os.environ.update(env)
    sys.path[:0] = filter(None, env.get("PYTHONPATH", "").split(os.pathsep))
    try:
        if command[0] == "-m":
            sys.argv[:] = command[1:]
            runpy.run_module(command[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv[:] = command
            sys.path.insert(0, os.path.dirname(command[0]))
            runpy.run_path(command[0], run_name="__main__")
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except Exception:
        traceback.print_exc()
        sys.exit(1)
    finally:
        atexit._run_exitfuncs()  # multiprocessing leaves with os._exit
