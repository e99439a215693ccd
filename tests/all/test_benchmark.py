"""The benchmark scripts, on tiny sizes: that they run, not what they measure."""

from functools import partial

import pytest
from command_line import ROOT


@pytest.fixture(autouse=True)
def _scripts_can_be_imported(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))


def test_a_step_is_compared_with_a_loop_and_a_bare_trainer(monkeypatch, capsys):
    import benchmark

    monkeypatch.setattr(benchmark, "SHORT", 2)
    monkeypatch.setattr(benchmark, "LONG", 12)
    benchmark.step(repeats=1)
    shown = capsys.readouterr().out
    for row in ("a  hand-written loop", "b  barest Trainer", "c  train"):
        assert shown.count(row) == 2


def test_the_start_is_compared_with_a_bare_application(monkeypatch, capsys):
    import benchmark

    benchmark.startup(repeats=1)
    assert "first optimizer step done" in capsys.readouterr().out


def test_sweeps_are_compared_by_hand_with_both_launchers(monkeypatch, capsys):
    import benchmark_sweep

    monkeypatch.setattr(benchmark_sweep, "STEPS", 20)
    monkeypatch.setattr(benchmark_sweep, "BY_HAND", 2)
    monkeypatch.setattr(benchmark_sweep, "LRS", ("1e-4", "1e-3", "1e-2", "1e-1"))
    monkeypatch.setattr(benchmark_sweep, "_growth", partial(benchmark_sweep._growth, counts=(4,)))
    benchmark_sweep.sweep(1, ["line"], seeds=1)
    shown = capsys.readouterr().out
    assert "x faster" in shown
    assert "runs of line" in shown


def test_the_report_of_a_synthetic_sweep_is_written(capsys):
    import benchmark

    benchmark.report(repeats=1, seeds=3)
    assert "288 runs of 200 points" in capsys.readouterr().out
