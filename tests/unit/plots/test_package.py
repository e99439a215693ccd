"""The package of plots."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import stepsize.plots
from stepsize.config.instantiate import locate
from stepsize.plots.callback import Plot


def test_every_plot_is_reached_by_its_short_name():
    named = set(stepsize.plots._FILES)
    written = set()
    for file in Path(stepsize.plots.__file__).parent.glob("[a-z]*.py"):
        module = __import__(f"stepsize.plots.{file.stem}", fromlist=["x"])
        for name, kind in inspect.getmembers(module, inspect.isclass):
            if issubclass(kind, Plot) and kind is not Plot and kind.__module__ == module.__name__:
                written.add(name)
                assert locate(f"stepsize.plots.{name}") is kind
    assert named == written


def test_an_unknown_plot_is_refused_with_a_close_name():
    with pytest.raises(ValueError, match=r"there is no Score .* did you mean Scores"):
        locate("stepsize.plots.Score")


def test_the_style_of_the_report_needs_no_lightning():
    code = "import sys, stepsize.plots.style; sys.exit('pytorch_lightning' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
