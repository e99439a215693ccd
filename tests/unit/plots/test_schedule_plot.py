"""The plot of schedules, and the command that draws it."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path

import pytest

from stepsize.plots.schedule import Panel, draw_panels

SCRIPT = Path(__file__).parents[3] / "scripts" / "show_schedule.py"

Draw = Callable[..., Path]


@pytest.fixture
def draw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Draw:
    """Run the command in an empty folder; returns the path that it prints."""
    monkeypatch.chdir(tmp_path)

    def call(*overrides: str) -> Path:
        monkeypatch.setattr("sys.argv", [str(SCRIPT), *overrides])
        runpy.run_path(str(SCRIPT), run_name="__main__")
        return tmp_path / capsys.readouterr().out.strip()

    return call


def test_groups_with_the_same_learning_rates_share_a_line_and_the_highest_is_first() -> None:
    panel = Panel("", "", {"a": [1.0, 0.5], "b": [2.0, 1.0], "c": [1.0, 0.5]})
    assert panel.lines == [("b", [2.0, 1.0]), ("a, c", [1.0, 0.5])]


def test_a_panel_draws_the_learning_rates_of_each_group() -> None:
    (axis,) = draw_panels([Panel("step", "line", {"a": [1.0, 0.5], "b": [2.0, 1.0]})]).axes
    assert [list(line.get_ydata())[:2] for line in axis.lines] == [[2.0, 1.0], [1.0, 0.5]]
    assert {"a  1", "b  2"} <= {text.get_text() for text in axis.texts}


def test_panels_share_their_scale() -> None:
    high, low = draw_panels([Panel("", "", {"a": [2.0]}), Panel("", "", {"a": [1.0]})]).axes
    assert high.get_ylim() == low.get_ylim()


def test_labels_of_close_learning_rates_do_not_overlap() -> None:
    lrs = {f"group {i}": [1 - i / 1000] for i in range(9)}
    figure = draw_panels([Panel("", "", lrs)])
    figure.draw_without_rendering()
    labels = [text for text in figure.axes[0].texts if text.get_text().startswith("group")]
    boxes = [text.get_window_extent() for text in labels]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[i + 1 :])


def test_the_command_draws_a_png_named_after_the_schedule(draw: Draw) -> None:
    path = draw("scheduler=warmup_cosine")
    assert path.name == "warmup_cosine.png"
    assert path.read_bytes().startswith(b"\x89PNG")


def test_the_command_draws_several_schedules_in_one_plot(draw: Draw) -> None:
    assert draw("scheduler=cosine,plateau", "optimizer=sgd").name == (
        "cosine_plateau_optimizer=sgd.png"
    )


@pytest.mark.parametrize("override", ["scheduler=cosin", "+scheduler.T_mx=3", "scheduler.T_max=-3"])
def test_an_invalid_override_ends_the_command_with_a_message(draw: Draw, override: str) -> None:
    with pytest.raises(SystemExit) as ended:
        draw("scheduler=cosine", override)
    assert "T_max" in str(ended.value) or "cosine" in str(ended.value)


def test_the_command_asks_for_an_end_of_the_run(draw: Draw) -> None:
    with pytest.raises(SystemExit, match="no end"):
        draw("scheduler=cosine", "trainer.max_steps=-1")
