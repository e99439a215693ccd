"""``hydra/launcher=vectorized`` leaves what the ordinary launcher leaves."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from command_line import run_command, start_command
from conftest import CONF
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from test_vectorized_checkpoint import compare
from vectorized_runs import Rows, difference

from stepsize.vectorized.templates import Templates

WORDS = (
    "task=blobs", "optimizer=sgd,adam,lbfgs", "optimizer.lr=0.01,-1", "seed=0,1",
    "scheduler=cosine", "trainer.max_steps=60", "trainer.precision=64-true",
    "trainer.accelerator=cpu", "plots=false",
)  # fmt: skip
DIVERGING = ("task=curve", "optimizer=sgd,rmsprop", "optimizer.lr=0.01,10", "data.points=50",
             "trainer.max_steps=60", "trainer.accelerator=cpu", "plots=true")  # fmt: skip


def sweep(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return run_command("-m", *words, cwd=folder)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folders of two sweeps that were left by the vectorized and by the ordinary launcher."""
    folder = tmp_path_factory.mktemp("sweeps")
    for words, name in ((WORDS, "mixed"), (DIVERGING, "diverging")):
        for launcher in ("vectorized", "basic"):
            ended = sweep(folder, *words, f"hydra/launcher={launcher}", f"name={name}-{launcher}")
            assert ended.returncode == (1 if name == "mixed" else 0), ended.stderr
    sweeps = folder / "outputs" / "sweeps"
    return sweeps, sweeps


def pairs(both: tuple[Path, Path]) -> list[tuple[Path, Path]]:
    found = []
    for name in ("mixed", "diverging"):
        ours, theirs = both[0] / f"{name}-vectorized", both[1] / f"{name}-basic"
        names = sorted(path.name for path in theirs.iterdir() if path.is_dir())
        assert names == sorted(path.name for path in ours.iterdir() if path.is_dir())
        found += [(ours / name, theirs / name) for name in names if name != "report"]
    assert len(found) == 16
    return found


def kind(path: Path) -> str:
    return "events" if path.name.startswith("events.out.tfevents.") else path.name


def rows_of(folder: Path) -> Rows:
    with (folder / "metrics.csv").open(newline="", encoding="utf-8") as stream:
        return {
            int(row.pop("step")): {tag: float(value) for tag, value in row.items() if value}
            for row in csv.DictReader(stream)
        }


def events_of(folder: Path) -> list[Any]:
    (file,) = folder.glob("events.out.tfevents.*")
    return list(EventFileLoader(str(file)).Load())


def test_every_folder_has_the_same_files(both: tuple[Path, Path]) -> None:
    for ours, theirs in pairs(both):
        listed = [sorted(kind(path) for path in one.rglob("*")) for one in (ours, theirs)]
        assert listed[0] == listed[1]


def test_results_agree_in_all_but_their_seconds(both: tuple[Path, Path]) -> None:
    statuses = []
    for ours, theirs in pairs(both):
        mine, other = (json.loads((f / "result.json").read_text("utf-8")) for f in (ours, theirs))
        assert mine.pop("seconds") >= 0
        other.pop("seconds")
        for words in (mine["overrides"], other["overrides"]):
            words[:] = [word for word in words if not word.startswith("name=")]
        assert list(mine) == list(other)
        compare(mine, other, rel=1e-3)  # half of these runs are in float32
        statuses.append(mine["status"])
    assert {"completed", "diverged", "failed"} == set(statuses)


def test_curves_agree(both: tuple[Path, Path]) -> None:
    compared = 0
    for ours, theirs in pairs(both):
        if (theirs / "metrics.csv").exists() and rows_of(theirs):
            assert difference(rows_of(ours), rows_of(theirs), 0.02) < 1e-3
            compared += 1
    assert compared == 10


def test_the_configurations_are_those_that_hydra_writes(both: tuple[Path, Path]) -> None:
    for ours, theirs in pairs(both):
        for name in ("config", "overrides", "hydra"):
            texts = [
                (folder / ".hydra" / f"{name}.yaml").read_text("utf-8") for folder in (ours, theirs)
            ]
            texts[0] = texts[0].replace("-vectorized", "-basic")
            if name == "hydra":
                loaded = [yaml.safe_load(text)["hydra"] for text in texts]
                for node in loaded:
                    del node["launcher"], node["overrides"]["hydra"]
                    del node["runtime"]["choices"]["hydra/launcher"]
                assert loaded[0] == loaded[1]
            else:
                assert texts[0] == texts[1]


def test_tensorboard_reads_the_same_scalars_texts_plots_and_hyperparameters(
    both: tuple[Path, Path],
) -> None:
    for ours, theirs in pairs(both):
        scalars: list[dict[Any, float]] = []
        others: list[dict[str, Any]] = []
        for folder in (ours, theirs):
            scalars.append({})
            others.append({})
            for event in events_of(folder):
                for value in event.summary.value:
                    plugin = value.metadata.plugin_data.plugin_name
                    number = value.tensor.float_val or np.frombuffer(
                        value.tensor.tensor_content, np.float32
                    )
                    if plugin == "scalars" or (not plugin and value.HasField("simple_value")):
                        scalars[-1][value.tag, event.step] = float(number[0])
                    else:
                        others[-1][value.tag] = plugin
        for found in scalars:  # how long a run took
            assert found.pop(next(key for key in found if key[0] == "verdict/seconds")) > 0
        assert scalars[0].keys() == scalars[1].keys()
        for key, number in scalars[1].items():
            tight = {"rel": 1e-3, "abs": 1e-6, "nan_ok": True}
            assert scalars[0][key] == pytest.approx(number, **tight), key
        assert others[0] == others[1]


def test_checkpoints_have_the_same_keys(both: tuple[Path, Path]) -> None:
    for ours, theirs in pairs(both):
        files = [folder / "checkpoints" / "last.ckpt" for folder in (ours, theirs)]
        if files[1].exists():
            loaded = [torch.load(file, weights_only=True) for file in files]
            assert loaded[0].keys() == loaded[1].keys()
            assert loaded[0]["callbacks"].keys() == loaded[1]["callbacks"].keys()


def test_what_is_done_is_skipped_by_a_second_command(both: tuple[Path, Path]) -> None:
    folder = both[0] / "diverging-vectorized"
    results = {path: path.stat().st_mtime_ns for path in folder.glob("*/result.json")}
    assert len(results) == 4
    (path,) = folder.glob("*rmsprop*lr=0.01*/result.json")
    path.unlink()
    ended = sweep(
        folder.parents[2], *DIVERGING, "hydra/launcher=vectorized", "name=diverging-vectorized"
    )
    assert ended.returncode == 0, ended.stderr
    changed = [file for file, before in results.items() if file.stat().st_mtime_ns != before]
    assert changed == [path]


def test_hydra_composes_each_choice_of_files_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose(
            "train", overrides=[f"hydra.sweep.dir={tmp_path}"], return_hydra_config=True
        )
        loader = GlobalHydra.instance().config_loader()
        calls = []
        load = loader.load_sweep_config
        monkeypatch.setattr(
            loader, "load_sweep_config", lambda *args: calls.append(args[1]) or load(*args)
        )
        templates = Templates(config, loader)
        jobs = [
            templates.complete([f"optimizer={name}", f"optimizer.lr={rate}", f"seed={seed}"], 0)
            for name in ("sgd", "adam")
            for rate in ("1e-3", "0.1", "1e-5")
            for seed in (0, 7)
        ]
    assert len(calls) == 2
    assert [job.config["optimizer"]["lr"] for job in jobs[:6:2]] == [1e-3, 0.1, 1e-5]
    assert [job.config["data"]["shuffle_seed"] for job in jobs[:2]] == [0, 7]


def test_help_does_not_import_torch(command: Callable[..., Any]) -> None:
    ended = command("--help", PYTHONPROFILEIMPORTTIME="1")
    assert "hydra" in ended.stderr
    assert not any(
        line.endswith((" torch", " stepsize.vectorized")) for line in ended.stderr.splitlines()
    )


def test_after_kill_9_a_second_command_skips_the_finished_groups(tmp_path: Path) -> None:
    words = ("task=line,curve", "optimizer=sgd,adam", "seed=0,1", "trainer.max_steps=1500",
             "trainer.accelerator=cpu", "plots=false", "hydra/launcher=vectorized",
             "hydra.launcher.processes=1", "name=killed")  # fmt: skip
    process = start_command("-m", *words, cwd=tmp_path)
    folder = tmp_path / "outputs" / "sweeps" / "killed"
    wait_until(lambda: len(list(folder.glob("*task=line*/result.json"))) == 4, seconds=120)
    assert process.poll() is None
    process.kill()
    process.wait(60)
    finished = {path: path.stat().st_mtime_ns for path in folder.glob("*/result.json")}
    assert len(finished) == 4
    ended = sweep(tmp_path, *words)
    assert ended.returncode == 0, ended.stderr
    assert "8 runs: 8 completed" in ended.stdout
    assert {path: path.stat().st_mtime_ns for path in finished} == finished


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc: Linux")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=lambda how: how.name)
def test_however_a_sweep_is_ended_its_other_processes_end_too(
    how: signal.Signals, tmp_path: Path
) -> None:
    process = start_command(
        "-m", "task=line", "optimizer=sgd,adam", "seed=range(4)", "trainer.max_steps=1000000",
        "trainer.accelerator=cpu", "plots=false", "hydra/launcher=vectorized",
        "hydra.launcher.processes=2", cwd=tmp_path,
    )  # fmt: skip
    wait_until(lambda: "training" in (process.output / "out").read_text(), seconds=120)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(children) == 2
    process.send_signal(how)
    process.wait(30)
    wait_until(lambda: not any(map(alive, children)), seconds=20)


def wait_until(happened: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def alive(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_every_optimizer_is_compared_alike_whoever_trains_its_runs(tmp_path: Path) -> None:
    reports = []
    for launcher in ("vectorized", "basic"):
        words = ("sweep=optimizers", "task=quadratic", "optimizer=sgd,adam,rprop,adafactor,lbfgs",
                 "seed=range(3)", "trainer.max_steps=40", "trainer.precision=64-true",
                 f"hydra/launcher={launcher}", f"name={launcher}")  # fmt: skip
        ended = sweep(tmp_path, *words)
        assert ended.returncode == 0, ended.stderr
        report = tmp_path / "outputs" / "sweeps" / launcher / "report"
        with (report / "results.csv").open(newline="", encoding="utf-8") as stream:
            reports.append({row["run"]: row for row in csv.DictReader(stream)})
    ours, theirs = reports
    assert len(theirs) == 15
    assert ours.keys() == theirs.keys()
    for run, row in theirs.items():
        for key, value in row.items():
            if key in ("sweep", "seconds", "folder"):
                continue
            try:
                assert float(ours[run][key]) == pytest.approx(float(value), rel=1e-9, abs=1e-15)
            except ValueError:
                assert ours[run][key] == value, key
