from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from synthetic_sweeps import write_sweep

from stepsize.report.curves import cached_curves, median_curve, on_grid, read_curves, thinned
from stepsize.report.read import RunRow, read_sweep


def row(folder: Path, status: str = "completed", steps: int = 30) -> RunRow:
    return RunRow(
        "s", folder.name, folder, "compare", status, None, "line", "sgd", "none", "none", 0, 0.1,
        (), steps=steps,
    )  # fmt: skip


def written(folder: Path, text: str) -> Path:
    folder.mkdir()
    (folder / "metrics.csv").write_text(text)
    return folder


def test_a_tag_has_the_steps_at_which_it_was_logged(tmp_path: Path):
    text = "step,train/loss,val/loss\n0,3.0,4.0\n10,2.0,\n20,nan,5.0\n"
    curves = read_curves(written(tmp_path / "r", text) / "metrics.csv")

    steps, values = curves["val/loss"]
    assert steps.tolist() == [0, 20]
    assert values.tolist() == [4.0, 5.0]
    assert np.isnan(curves["train/loss"][1][2])


@pytest.mark.parametrize("text", ["", "step,train/loss\n"], ids=["empty", "only a header"])
def test_a_run_that_logged_nothing_has_no_curves(tmp_path: Path, text: str):
    assert read_curves(written(tmp_path / "r", text) / "metrics.csv") == {}


def test_a_run_without_a_table_has_no_curves(tmp_path: Path):
    assert read_curves(tmp_path / "metrics.csv") == {}


def test_a_table_is_read_once(tmp_path: Path):
    run = row(written(tmp_path / "r", "step,train/loss\n0,3.0\n"))
    curves_of = cached_curves()
    first = curves_of(run)
    (run.folder / "metrics.csv").unlink()
    assert curves_of(run) is first


def test_a_run_counts_as_infinitely_bad_from_its_divergence_on(tmp_path: Path):
    run = row(written(tmp_path / "r", "step,a\n0,3.0\n10,2.0\n20,inf\n"), "diverged", 20)
    values = on_grid(run, cached_curves()(run), "a", np.array([0, 5, 10, 20, 30]), "min")
    assert values.tolist() == [3.0, 3.0, 2.0, np.inf, np.inf]


def test_a_run_that_diverged_with_finite_values_is_infinitely_bad_after_its_end(tmp_path: Path):
    run = row(written(tmp_path / "r", "step,a\n0,3.0\n10,2e9\n"), "diverged", 10)
    values = on_grid(run, cached_curves()(run), "a", np.array([0, 10, 20]), "max")
    assert values.tolist() == [3.0, 2e9, -np.inf]


def test_a_run_that_was_complete_early_keeps_its_last_value(tmp_path: Path):
    run = row(written(tmp_path / "r", "step,a\n0,3.0\n10,2.0\n"), steps=10)
    values = on_grid(run, cached_curves()(run), "a", np.array([0, 10, 20]), "min")
    assert values.tolist() == [3.0, 2.0, 2.0]


def test_the_median_is_infinite_from_where_half_of_the_seeds_have_diverged(tmp_path: Path):
    texts = {
        "a": ("completed", "step,a\n0,4.0\n10,1.0\n20,1.0\n"),
        "b": ("completed", "step,a\n0,4.0\n10,2.0\n20,2.0\n"),
        "c": ("diverged", "step,a\n0,4.0\n10,nan\n"),
        "d": ("diverged", "step,a\n0,4.0\n10,5.0\n20,nan\n"),
    }
    runs = [
        row(written(tmp_path / name, text), status, 20) for name, (status, text) in texts.items()
    ]
    steps, values = median_curve(runs, cached_curves(), "a", "min")
    assert steps.tolist() == [0, 10, 20]
    assert values.tolist() == [4.0, 3.5, np.inf]


def test_the_median_of_a_synthetic_sweep_is_numpys(tmp_path: Path):
    sweep = read_sweep(write_sweep(tmp_path / "s", {"seed": range(5)}))
    curves_of = cached_curves()
    steps, values = median_curve(sweep.runs, curves_of, "train/gap", "min")
    every = np.stack([curves_of(run)["train/gap"][1] for run in sweep.runs])
    np.testing.assert_array_equal(values, np.median(every, axis=0))
    np.testing.assert_array_equal(steps, curves_of(sweep.runs[0])["train/gap"][0])


def test_a_thinned_curve_keeps_its_ends_and_its_spikes():
    steps = np.arange(10_000)
    values = np.sin(steps / 500.0)
    values[[1234, 8765]] = 9.0, -9.0
    thin_steps, thin_values = thinned(steps, values, points=160)
    assert len(thin_steps) <= 162
    assert (np.diff(thin_steps) > 0).all()
    assert (thin_steps[0], thin_steps[-1]) == (0, 9999)
    assert (thin_values.max(), thin_values.min()) == (9.0, -9.0)
