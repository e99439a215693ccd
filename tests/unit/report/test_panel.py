from __future__ import annotations

import html
import json
import re

import numpy as np
import pytest
from matplotlib.axes import Axes

from stepsize.report.figures.panel import Panel, columns, part, svg
from stepsize.report.figures.scales import name_axes, set_x, set_y


def draw(axes: Axes) -> None:
    set_x(axes, 0, 160, log=False)
    set_y(axes, 1e-4, 1.0, log=True)
    steps = np.arange(161)
    axes.plot(steps, 10.0 ** (-steps / 40), gid=part("curve", 'adam "<lr>"=0.1'))
    name_axes(axes, "optimizer steps", "train/loss")


def test_a_curve_has_its_settings_name_and_every_point_also_on_a_straight_line():
    text = svg(Panel(draw, 500, 300, (50, 50, 50, 50)), "figure")
    (name, path) = re.findall(r'class="curve" data-line="([^"]*)">\s*<path d="([^"]*)"', text)[0]
    assert html.unescape(name) == 'adam "<lr>"=0.1'
    assert len(re.findall(r"[ML]", path)) == 161


def test_pixels_of_a_curve_are_its_values_by_the_axes_of_the_drawing():
    text = svg(Panel(draw, 500, 300, (50, 50, 50, 50)), "figure")
    axes = json.loads(html.unescape(re.findall(r'data-axes="([^"]*)"', text)[0]))
    assert axes["x"] == ["optimizer steps", 50, 450, 0, 160, False]
    assert axes["y"] == ["train/loss", 250, 50, 1e-4, 1, True]
    path = re.findall(r'class="curve"[^>]*>\s*<path d="([^"]*)"', text)[0]
    points = [tuple(map(float, pair.split())) for pair in re.findall(r"[\d.]+ [\d.]+", path)]
    assert points == [pytest.approx((50 + 2.5 * k, 50 + 1.25 * k), abs=0.1) for k in range(161)]


@pytest.mark.parametrize(("count", "most"), [(1, 1), (5, 5), (6, 3), (8, 4), (11, 4), (18, 5)])
def test_rows_of_panels_are_as_equal_as_possible(count: int, most: int):
    assert columns(count) == most
