"""What the README promises, letter by letter."""

import os

from command_line import ROOT, run_command
from documents import blocks, check_commands

README = ROOT / "README.md"


def test_every_command_works_in_the_readmes_order(tmp_path):
    check_commands(README, tmp_path)


def test_a_model_of_ones_own_is_two_small_files(tmp_path):
    (code,) = blocks(README, "python")
    (config,) = blocks(README, "yaml")
    (tmp_path / "my_package").mkdir()
    (tmp_path / "my_package" / "__init__.py").touch()
    (tmp_path / "my_package" / "model.py").write_text(code)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").write_text(config)
    done = run_command(
        "--config-dir", ".", "model=mine", "allowed_packages=[my_package]",
        "trainer.max_steps=300", cwd=tmp_path, env={"PYTHONPATH": os.fspath(tmp_path)}, new=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "completed" in done.stdout


def test_the_readme_stays_short():
    assert len(README.read_text("utf-8").splitlines()) <= 200
