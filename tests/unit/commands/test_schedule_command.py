"""``python -m stepsize schedule``: the learning rates of a run, drawn without training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from stepsize.__main__ import main

Draw = Callable[..., Path]


@pytest.fixture
def draw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Draw:
    """Run the command in an empty folder; returns the path that it prints."""
    monkeypatch.chdir(tmp_path)

    def call(*overrides: str) -> Path:
        main(["schedule", *overrides])
        return tmp_path / capsys.readouterr().out.strip()

    return call


def test_it_draws_a_png_named_after_the_schedule(draw: Draw) -> None:
    path = draw("scheduler=warmup_cosine")
    assert path.name == "warmup_cosine.png"
    assert path.read_bytes().startswith(b"\x89PNG")


def test_it_draws_several_schedules_in_one_plot(draw: Draw) -> None:
    assert draw("scheduler=cosine,plateau", "optimizer=sgd").name == (
        "cosine_plateau_optimizer=sgd.png"
    )


@pytest.mark.parametrize("override", ["scheduler=cosin", "+scheduler.T_mx=3", "scheduler.T_max=-3"])
def test_a_value_that_is_not_allowed_ends_the_command_with_one_line(
    draw: Draw, override: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        draw("scheduler=cosine", override)
    assert "T_max" in str(ended.value) or "cosine" in str(ended.value)
    assert "\n" not in str(ended.value)


def test_a_run_without_an_end_is_refused(draw: Draw) -> None:
    with pytest.raises(SystemExit, match=r"trainer\.max_steps"):
        draw("scheduler=cosine", "trainer.max_steps=-1")


def test_a_glob_makes_one_panel_for_each_file(draw: Draw) -> None:
    assert draw("scheduler=glob(c*)", "trainer.max_steps=50").exists()
