from __future__ import annotations

import csv
import json
from pathlib import Path

from synthetic_sweeps import write_sweep

from stepsize.report.report import write_report


def test_tags_of_ones_own_are_in_the_report_and_in_results_csv(tmp_path: Path):
    folder = write_sweep(tmp_path / "s", {"optimizer": ["sgd", "adam"], "seed": range(2)})
    for file in folder.glob("*/result.json"):
        result = json.loads(file.read_text())
        result["metrics"]["val_loss"] = {"first": 2.0, "final": 0.25, "best": 0.25}
        file.write_text(json.dumps(result))
    report = write_report([folder], tmp_path / "report").page.parent
    with (report / "results.csv").open() as stream:
        assert {row["val_loss final"] for row in csv.DictReader(stream)} == {"0.25"}
    assert "val_loss" in (report / "report.md").read_text()
