from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from synthetic_sweeps import write_sweep

from stepsize.report import columns
from stepsize.report.columns import Column
from stepsize.report.report import write_report


def written(tmp_path: Path, varied: dict[str, Any], **options: Any) -> Path:
    """The folder of a report on a made-up sweep."""
    folder = write_sweep(tmp_path / "sweep", varied, **options)
    return write_report([folder], tmp_path / "report").page.parent


def rows_of(report: Path) -> list[dict[str, str]]:
    with (report / "results.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_the_table_of_runs_has_a_row_per_planned_run_and_a_column_per_variable(tmp_path: Path):
    special = {
        "optimizer=sgd,seed=0,trainer.max_steps=100": {"status": "missing"},
        "optimizer=sgd,seed=1,trainer.max_steps=100": {"status": "diverged", "end": 50},
        "optimizer=adam,seed=0,trainer.max_steps=100": {"final": 1e-5},
        "optimizer=adam,seed=1,trainer.max_steps=100": {"final": 0.5},
    }
    varied = {"optimizer": ["sgd", "adam"], "trainer.max_steps": [100, 200], "seed": [0, 1]}
    rows = rows_of(written(tmp_path, varied, special=special))

    assert len(rows) == 8
    by_run = {row["run"]: row for row in rows}
    missing, diverged, hit, miss = (by_run[run] for run in special)
    assert (missing["status"], missing["train/gap final"]) == ("missing", "")
    assert (diverged["status"], diverged["reason"]) == ("diverged", "train/loss is nan at step 50")
    assert diverged["target_steps"] == miss["target_steps"] == "inf"
    assert 0 < float(hit["target_steps"]) < 400
    assert float(hit["train/gap final"]) == pytest.approx(1e-5)
    assert {row["trainer.max_steps"] for row in rows} == {"100", "200"}
    assert rows[0]["setting"] == "sgd max_steps=100"


def test_every_figure_of_the_markdown_lies_beside_it(tmp_path: Path):
    varied = {
        "optimizer": ["sgd", "adam", "nadam", "lion", "rmsprop"],
        "optimizer.lr": [0.01, 0.1],
        "seed": range(2),
    }
    report = written(tmp_path, varied)
    linked = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", (report / "report.md").read_text())
    assert sorted(linked) == sorted(path.name for path in report.glob("*.png"))
    assert {"curves-curve.png", "curves-curve-each.png", "learning-rate-curve.png"} <= set(linked)
    for name in linked:
        assert (report / name).read_bytes().startswith(b"\x89PNG")


def test_figures_of_an_earlier_report_do_not_stay(tmp_path: Path):
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "learning-rate-old.png").touch()
    report = written(tmp_path, {"optimizer": ["sgd", "adam"]})
    assert not (report / "learning-rate-old.png").exists()


def test_a_report_is_the_same_when_it_is_written_again(tmp_path: Path):
    folder = write_sweep(tmp_path / "sweep", {"optimizer": ["sgd", "adam"], "seed": range(3)})
    first = write_report([folder], tmp_path / "a").page.read_bytes()
    assert write_report([folder], tmp_path / "b").page.read_bytes() == first


def test_tables_show_infinity_for_a_miss_and_no_mean_where_a_run_diverged(tmp_path: Path):
    special = {f"seed={seed}": {"final": 0.5} for seed in range(3)}
    special["seed=0"] = {"status": "diverged", "end": 100}
    text = (written(tmp_path, {"seed": range(3)}, special=special) / "report.md").read_text()
    header, row = _table(text)
    cells = dict(zip(header, row, strict=True))
    assert cells["n"] == "3"
    assert cells["diverged"] == "1"
    assert cells["hits"] == "0/3"
    assert cells["steps to target"] == "\u221e"
    assert cells["final geo. mean"] == "\u2013"
    assert float(cells["final median"]) == pytest.approx(0.5)


def _table(text: str) -> tuple[list[str], list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("|")]
    header, row = ([cell.strip() for cell in lines[at].strip("|").split("|")] for at in (0, 2))
    return header, row


def test_differences_are_shown_against_the_baseline_that_was_asked_for(tmp_path: Path):
    folder = write_sweep(tmp_path / "s", {"optimizer": ["sgd", "adam", "nadam"], "seed": range(8)})
    text = (
        write_report([folder], tmp_path / "r", baseline="sgd").page.parent / "report.md"
    ).read_text()
    assert "Each setting against `sgd`, paired by seed" in text
    assert re.search(r"\| nadam +\| +8 \| .* 8/8 \| .*\*\*better\*\*", text)


def test_an_unknown_baseline_is_refused(tmp_path: Path):
    folder = write_sweep(tmp_path / "s", {"optimizer": ["sgd", "adam"]})
    with pytest.raises(ValueError, match="baseline=foo"):
        write_report([folder], tmp_path / "r", baseline="foo")


def test_four_tasks_with_targets_give_performance_profiles(tmp_path: Path):
    tasks = ["line", "curve", "blobs", "quadratic"]
    varied = {"task": tasks, "optimizer": ["sgd", "nadam"], "seed": range(2)}
    report = written(tmp_path, varied, target=0.05)
    assert (report / "profiles.png").exists()


def test_three_tasks_give_no_chapter_of_profiles(tmp_path: Path):
    varied = {"task": ["line", "curve", "blobs"], "optimizer": ["sgd", "nadam"], "seed": range(2)}
    report = written(tmp_path, varied)
    assert not (report / "profiles.png").exists()
    assert "Performance profiles" not in (report / "report.md").read_text()
    assert "Performance profiles" not in (report / "report.html").read_text()


def test_what_was_run_names_grid_commands_versions_and_what_went_wrong(tmp_path: Path):
    special = {
        "optimizer=sgd,seed=0": {"status": "failed", "end": 5},
        "optimizer=sgd,seed=1": {"status": "missing"},
    }
    varied = {"optimizer": ["sgd", "adam"], "seed": [0, 1]}
    text = (written(tmp_path, varied, special=special) / "report.md").read_text()
    assert re.search(r"\| `optimizer` +\| +2 \| `sgd`, `adam`", text)
    assert re.search(r"\| `seed` +\| +2 \| `0`, `1`", text)
    link = re.escape("[optimizer=sgd,seed=0](../sweep/optimizer%3Dsgd%2Cseed%3D0/)")
    assert re.search(rf"\| {link} +\| failed +\| RuntimeError: no", text)
    assert re.search(r"\| optimizer=sgd,seed=1 +\| missing", text)
    assert "python train.py -m optimizer=sgd,adam seed=0,1" in text
    assert "torch 2.13.0" in text


@pytest.mark.parametrize("status", ["failed", "missing", "interrupted", "diverged"])
def test_a_sweep_without_a_single_number_still_has_a_report(tmp_path: Path, status: str):
    special = {f"seed={seed}": {"status": status, "end": 20} for seed in range(2)}
    report = written(tmp_path, {"seed": range(2)}, special=special)
    assert status in (report / "report.html").read_text()
    assert [row["status"] for row in rows_of(report)] == [status] * 2


def test_names_from_outside_cannot_become_part_of_the_page(tmp_path: Path):
    special = {"seed=0": {"status": "failed", "end": 5}}
    folder = write_sweep(tmp_path / "sweep", {"seed": [0]}, special=special)
    result = folder / "seed=0" / "result.json"
    result.write_text(result.read_text().replace("RuntimeError: no", "<script>alert(1)</script>"))
    plan = folder / "sweep.json"
    plan.write_text(plan.read_text().replace('"name": "sweep"', '"name": "<script>"'))
    page = write_report([folder], tmp_path / "report").page.read_text()
    assert "<title>&lt;script&gt;" in page
    assert page.count("<script") == 1  # the page's own
    assert "&lt;script&gt;alert(1)" in page


def test_a_larger_value_is_better_where_the_sweep_says_so(tmp_path: Path):
    folder = write_sweep(
        tmp_path / "s", {"optimizer": ["sgd", "adam"], "seed": range(7)}, known=False, target=None,
        special={f"optimizer=adam,seed={s}": {"final": 0.1} for s in range(7)}
        | {f"optimizer=sgd,seed={s}": {"final": 0.2 + s / 100} for s in range(7)},
    )  # fmt: skip
    for result in folder.glob("*/result.json"):
        result.write_text(result.read_text().replace('"mode": "min"', '"mode": "max"'))
    text = (write_report([folder], tmp_path / "r").page.parent / "report.md").read_text()
    assert "`sgd` ends highest: median train/loss" in text
    assert "larger is better" in text


def test_two_sweeps_together_have_one_page(tmp_path: Path):
    first = write_sweep(tmp_path / "first", {"optimizer": ["sgd"], "seed": range(6)})
    second = write_sweep(tmp_path / "second", {"optimizer": ["adam"], "seed": range(6)})
    report = write_report([first, second, first], tmp_path / "both").page.parent
    assert len(rows_of(report)) == 12
    assert (report / "report.md").read_text().startswith("# first and second\n")


def test_a_report_in_another_folder_links_to_the_folder_of_each_run(tmp_path: Path):
    special = {"optimizer=sgd,seed=1": {"status": "missing"}}
    varied = {"optimizer": ["sgd"], "seed": range(3)}
    first = write_sweep(tmp_path / "a" / "first", varied, special=special)
    second = write_sweep(tmp_path / "b" / "a second", {"optimizer": ["adam"], "seed": range(3)})
    page = write_report([first, second], tmp_path / "c" / "both").page
    links = [unquote(link) for link in re.findall(r'href="(\.\./[^"]*)"', page.read_text())]
    linked = {(page.parent / link).resolve() for link in links}
    folders = {run.parent for sweep in (first, second) for run in sweep.glob("*/result.json")}
    assert len(folders) == 5
    assert linked == folders


def test_a_target_far_from_all_curves_is_named_instead_of_drawn(tmp_path: Path):
    near = written(tmp_path / "near", {"optimizer": ["adam"]}, target=1e-3)
    far = written(tmp_path / "far", {"optimizer": ["adam"]}, target=1e-30)
    assert "target 0.001" in (near / "report.html").read_text()
    assert "is far outside" not in (near / "report.md").read_text()
    assert "The target, 1e-30, is far outside of the figure." in (far / "report.md").read_text()


def test_real_runs_have_a_report(run: Callable[..., object], tmp_path: Path):
    for optimizer in ("sgd", "adam"):
        for seed in (0, 1):
            run("task=line", f"optimizer={optimizer}", f"seed={seed}", "trainer.max_steps=50")
    report = write_report([tmp_path], tmp_path / "report").page.parent
    assert [row["status"] for row in rows_of(report)] == ["completed"] * 4
    assert (
        "With 2 common seeds no difference from `adam` can be significant"
        in (report / "report.md").read_text()
    )


def test_a_column_of_ones_own_is_in_the_table_the_legend_and_results_csv(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    own = Column(
        "steps per\nseed", lambda run: run.steps / (run.seed + 1), legend="Steps and seed."
    )
    monkeypatch.setattr(columns, "COLUMNS", [*columns.COLUMNS, own])
    report = written(tmp_path, {"seed": range(3)})
    text = (report / "report.md").read_text()
    header, row = _table(text)
    assert dict(zip(header, row, strict=True))["steps per seed"] == "200"
    assert "Steps and seed." in text
    assert [float(row["steps per seed"]) for row in rows_of(report)] == [400, 200, 400 / 3]
