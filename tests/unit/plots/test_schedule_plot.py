"""The plot of schedules."""

from __future__ import annotations

from stepsize.plots.schedule import Panel, draw_panels


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
