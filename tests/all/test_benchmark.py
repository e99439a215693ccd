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
    for row in ("hand-written loop", "barest Trainer", "train, all written"):
        assert shown.count(row) == 2


def test_the_start_is_compared_with_a_bare_application(monkeypatch, capsys):
    import benchmark

    benchmark.startup(repeats=1)
    assert "first optimizer step done" in capsys.readouterr().out


def test_sweeps_are_compared_by_hand_with_both_launchers(monkeypatch, capsys, tmp_path):
    import sweep_speed

    monkeypatch.setattr(sweep_speed, "STEPS", 20)
    monkeypatch.setattr(sweep_speed, "BY_HAND", 2)
    monkeypatch.setattr(sweep_speed, "RATES", ("1e-4", "1e-3", "1e-2", "1e-1"))
    monkeypatch.setattr(sweep_speed, "growth", partial(sweep_speed.growth, counts=(4,)))
    sweep_speed.compare(1, ["line"], 1, str(tmp_path))
    shown = capsys.readouterr().out
    assert "x faster" in shown
    assert "runs on line" in shown
