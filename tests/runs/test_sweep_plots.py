"""``plots: auto``: a sweep draws the best and the median run of each optimizer when it ends."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from command_line import run_command
from matplotlib.image import imread
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from stepsize.__main__ import main

SWEEP = ("-m", "task=quadratic", "optimizer=sgd,adam", "seed=range(4)", "trainer.max_steps=20",
         "trainer.accelerator=cpu")  # fmt: skip


def sweep(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    ended = run_command(*words, cwd=folder)
    assert ended.returncode == 0, ended.stderr
    return ended


@pytest.fixture(scope="module", params=["vectorized", "basic"])
def swept(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a sweep by each launcher."""
    folder = tmp_path_factory.mktemp(request.param)
    ended = sweep(folder, *SWEEP, f"hydra/launcher={request.param}", "name=x")
    assert "drawn" not in ended.stdout + ended.stderr
    return folder / "outputs" / "sweeps" / "x"


def drawn(folder: Path) -> set[Path]:
    return {file.parent for file in folder.glob("*seed=*/*.png")}


def test_the_best_and_the_median_run_of_each_optimizer_are_drawn(swept: Path) -> None:
    gaps: dict[str, list[tuple[float, Path]]] = {}
    for file in swept.glob("*/result.json"):
        result = json.loads(file.read_text("utf-8"))
        final = result["metrics"]["train/gap"]["final"]
        gaps.setdefault(result["optimizer"], []).append((final, file.parent))
    expected = set()
    for runs in gaps.values():
        ranked = [folder for _, folder in sorted(runs)]
        expected |= {ranked[0], ranked[1]}  # of the two in the middle of four, the better one
    assert len(expected) == 4
    assert drawn(swept) == expected


def test_tensorboard_shows_them_too(swept: Path) -> None:
    for folder in sorted(swept.glob("*seed=*")):
        events = EventAccumulator(str(folder)).Reload()
        images = events.Tags()["images"]
        assert images == (["view/trajectory"] if folder in drawn(swept) else [])
        assert "train/loss" in events.Tags()["scalars"]
        assert len(list(folder.glob("events.out.tfevents*"))) == 1


def test_the_plot_is_that_of_a_run_that_draws_by_itself(swept: Path, run: Any) -> None:
    folder = next(iter(sorted(drawn(swept))))
    optimizer, seed = (
        folder.name.split(f"{key}=")[1].split(",")[0] for key in ("optimizer", "seed")
    )
    alone = run("task=quadratic", f"optimizer={optimizer}", f"seed={seed}", "trainer.max_steps=20")
    theirs, ours = (imread(one / "trajectory.png") for one in (alone.folder, folder))
    assert (theirs != ours).mean() < 1e-2  # vectorized, equal up to rounding


def test_a_second_command_draws_nothing_again_but_what_is_lost(swept: Path) -> None:
    files = sorted(swept.glob("*seed=*/*.png"))
    before = {file: file.stat().st_mtime_ns for file in files}
    files[0].unlink()
    launcher = "hydra/launcher=vectorized"
    sweep(swept.parents[2], *SWEEP, launcher, "name=x")
    assert sorted(swept.glob("*seed=*/*.png")) == files
    changed = [file for file in files if file.stat().st_mtime_ns != before[file]]
    assert changed == files[:1]


def test_the_command_draws_every_run_of_the_sweep(swept: Path, capsys: Any) -> None:
    main(["plot", str(swept)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "8 plots of 8 runs"
    assert {Path(line).parent for line in lines[:-1]} == drawn(swept)
    assert len(drawn(swept)) == 8


def test_a_plot_that_fails_costs_one_line_and_no_report(tmp_path: Path) -> None:
    unsuited = "callbacks.plot._target_=stepsize.plots.Fit"
    words = ("-m", "task=quadratic", unsuited, "seed=0,1,2", "trainer.max_steps=3", "name=x")
    ended = sweep(tmp_path, *words, "hydra/launcher=vectorized")
    (line,) = [line for line in ended.stderr.splitlines() if "drawn" in line]
    assert line.startswith("not drawn: ")
    assert line.endswith("(and 1 more)")
    assert (tmp_path / "outputs" / "sweeps" / "x" / "report" / "report.html").is_file()


def test_a_second_command_draws_what_the_first_one_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "outputs" / "sweeps" / "x"
    words = ("-m", "task=line", "seed=0,1,2,3", "trainer.max_steps=3", "hydra/launcher=vectorized",
             "name=x")  # fmt: skip
    counts = []
    for plots in ("false", "auto", "true"):
        sweep(tmp_path, *words, f"plots={plots}")
        counts.append(len(drawn(folder)))
    assert counts == [0, 2, 4]
    assert len(list(folder.glob("*/result.json"))) == 4  # none was trained again


def test_a_wrong_value_ends_a_sweep_before_its_first_run(tmp_path: Path) -> None:
    ended = run_command("-m", "plots=maybe", "seed=0,1", "name=x", cwd=tmp_path)
    assert ended.returncode == 1
    assert "plots=maybe: give auto, true or false" in ended.stderr
    assert not list((tmp_path / "outputs").glob("sweeps/x/*/result.json"))
