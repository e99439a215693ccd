"""The commands of README.md and docs/*.md, run as a reader types them but with fewer steps."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

from command_line import ROOT, run_command

# Commands that other tests run: what they begin with, and where.
ELSEWHERE = {
    "make ": "tests/unit/test_project.py",
    "pip install ": "tests/unit/test_project.py",
    "tensorboard ": "tests/runs/test_tensorboard.py",
    "python scripts/benchmark.py ": "tests/all/test_benchmark.py",
    "python train.py -m hydra/launcher=joblib ": "tests/all/test_joblib_launcher.py",
    "python train.py -m hydra/sweeper=optuna ": "tests/all/test_optuna.py",
}
_STEPS = "trainer.max_steps=30"
_SHORTER = {
    "sweep=learning_rate": ["optimizer=sgd,adam", "optimizer.lr=1e-3,1e-2"],
    "sweep=optimizers": ["optimizer=sgd,adam,lbfgs"],
}
_PRINTS = {"--help", "--cfg"}


def blocks(page: Path, language: str) -> list[str]:
    """The contents of a page's code blocks in one language."""
    text = page.read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


def commands(page: Path) -> list[str]:
    """The commands of a page in order, without comments."""
    lines = [line for block in blocks(page, "bash") for line in block.splitlines()]
    return [command for line in lines if (command := line.split("  #")[0].strip())]


def is_elsewhere(command: str) -> bool:
    return command.startswith(tuple(ELSEWHERE))


def run_shortly(command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command of ``train.py`` or ``python -m stepsize``.

    A run takes 30 steps unless the command says how many. A sweep draws no plots. A sweep of
    conf/sweep takes two seeds, and only some optimizers and learning rates.
    """
    program, *arguments = shlex.split(command)
    assert program == "python", command
    if arguments[0] == "-m":
        return run_command(*arguments, cwd=cwd, script=None)
    script, *overrides = arguments
    assert script == "train.py", command
    if not _PRINTS & {*overrides}:
        given = [override.partition("=")[0] for override in overrides]
        overrides += [] if "trainer.max_steps" in given else [_STEPS]
        if "sweep" in given or "-m" in given:
            overrides += ["plots=false"]
        if "sweep" in given:
            overrides += ["seed=0,1"]
        overrides += _SHORTER.get(next((o for o in overrides if o in _SHORTER), ""), [])
    return run_command(*overrides, cwd=cwd, script=ROOT / script)


def check_commands(page: Path, cwd: Path) -> None:
    """Run every command of a page, in its order and in one folder."""
    for command in commands(page):
        if not is_elsewhere(command):
            done = run_shortly(command, cwd)
            assert done.returncode == 0, f"{command}\n{done.stderr}"
            assert "Warning" not in done.stderr, f"{command}\n{done.stderr}"
            assert done.stdout, command
