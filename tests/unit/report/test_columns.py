from __future__ import annotations

import csv
from pathlib import Path

import pytest
from synthetic_sweeps import write_sweep

from stepsize.report import columns
from stepsize.report.columns import Column, median_over_seeds
from stepsize.report.read import RunRow
from stepsize.report.report import write_report


def test_an_added_column_is_in_the_tables_the_csv_and_the_legend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def improvement(run: RunRow) -> float | None:
        first, final = run.metric("train/gap", "first"), run.metric("train/gap")
        return None if first is None or final is None else first / final

    own = Column("gain", improvement, median_over_seeds(improvement), "Gain is first over final.")
    monkeypatch.setattr(columns, "COLUMNS", [*columns.COLUMNS, own])
    folder = write_sweep(tmp_path / "s", {"optimizer": ["sgd"], "seed": range(3)})
    page = write_report([folder], tmp_path / "r")
    with (tmp_path / "r" / "results.csv").open(newline="", encoding="utf-8") as stream:
        assert all(float(row["gain"]) > 1 for row in csv.DictReader(stream))
    assert ">gain</th>" in page.read_text("utf-8")
    markdown = (tmp_path / "r" / "report.md").read_text("utf-8")
    assert " gain |" in markdown
    assert "Gain is first over final." in markdown
