from __future__ import annotations

import time
from pathlib import Path

from synthetic_sweeps import write_sweep

from stepsize.report.report import write_report


def test_a_thousand_runs_of_two_hundred_points_take_less_than_thirty_seconds(tmp_path: Path):
    varied = {
        "task": ["line", "curve"],
        "optimizer": ["sgd", "adam", "nadam", "lion", "rmsprop", "radam", "adamax", "adagrad",
                      "rprop", "muon"],
        "optimizer.lr": ["1e-3", "3e-3", "1e-2", "3e-2", "1e-1"],
        "seed": range(10),
    }  # fmt: skip
    folder = write_sweep(tmp_path / "sweep", varied, points=200, steps=2000)
    began = time.monotonic()
    write_report([folder], tmp_path / "report")
    assert time.monotonic() - began < 30
