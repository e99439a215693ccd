"""What the README promises, letter by letter."""

import re
import shlex
import subprocess
import sys

import pytest
from conftest import ROOT

README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, flags=re.DOTALL)
COMMANDS = [
    line.split("  #")[0].strip()
    for language, block in BLOCKS
    if language == "bash"
    for line in block.splitlines()
    if line.startswith("python ")
]
# Elsewhere, or too long for the suite.
NOT_HERE = {
    "python -m stepsize compare outputs/sweeps/mine outputs/sweeps/rates": (
        "tests/results/test_compare_script.py: it needs the sweeps of the commands above it"
    ),
    "python train.py optimizer._target_=my_package.MyOptimizer allowed_packages=[my_package]": (
        "tests/test_command.py: a class of another package needs no file"
    ),
}


def run(command, folder, **files):
    words = shlex.split(command)
    assert words[0] == "python"
    done = subprocess.run(
        [sys.executable, *(str(ROOT / w) if w.endswith(".py") else w for w in words[1:])],
        cwd=folder, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done


def test_every_command_left_out_is_in_the_readme():
    assert set(NOT_HERE) <= set(COMMANDS)


@pytest.mark.parametrize("command", [c for c in COMMANDS if c not in NOT_HERE])
def test_the_command_runs(command, tmp_path):
    done = run(command, tmp_path)
    assert "Warning" not in done.stderr
    assert done.stdout


def test_a_model_of_ones_own_is_two_small_files(tmp_path):
    (code,) = [block for language, block in BLOCKS if language == "python"]
    (config,) = [b for language, b in BLOCKS if language == "yaml" and "conf/model/mine" in b]
    (tmp_path / "my_package").mkdir()
    (tmp_path / "my_package" / "__init__.py").touch()
    (tmp_path / "my_package" / "model.py").write_text(code)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").write_text(config)
    done = subprocess.run(
        [sys.executable, str(ROOT / "train.py"), "--config-dir", ".", "model=mine",
         "allowed_packages=[my_package]", "trainer.max_steps=300"],
        cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
        env={"PYTHONPATH": ".", "PATH": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "completed" in done.stdout


def test_the_readme_stays_short():
    assert len(README.splitlines()) <= 150
