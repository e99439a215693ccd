"""What a sweep prints while it runs and at its end."""

import io
import json

from rich.console import Console
from synthetic_sweeps import write_sweep

from stepsize.report.read import read_sweep
from stepsize.sweeps.console import SweepProgress, print_end


def printed_end(folder, report=None):
    console = Console(file=io.StringIO(), width=120)
    print_end(read_sweep(folder), report, console)
    return console.file.getvalue()


def test_the_end_lists_every_setting_with_its_runs(tmp_path):
    write_sweep(tmp_path, {"optimizer": ["sgd", "adam"], "seed": [0, 1]})
    lines = printed_end(tmp_path).splitlines()
    assert {line.split()[0]: line.split()[1] for line in lines[1:3]} == {"sgd": "2", "adam": "2"}
    assert "4 runs: 4 completed" in lines


def test_a_missing_run_gives_the_command_that_continues(tmp_path):
    write_sweep(tmp_path, {"optimizer": ["sgd", "adam"]})
    plan = json.loads((tmp_path / "sweep.json").read_text())
    plan["jobs"].append({**plan["jobs"][0], "run": "lost", "overrides": ["optimizer=lion"]})
    plan["left_out"] = [{"overrides": ["optimizer=muon"], "reason": "no matrix"}]
    (tmp_path / "sweep.json").write_text(json.dumps(plan))
    out = printed_end(tmp_path)
    assert "1 missing" in out
    assert "name=" in next(line for line in out.splitlines() if line.startswith("continue"))
    assert "skipped  optimizer=muon: no matrix" in out


def test_progress_prints_each_run_that_did_not_complete(tmp_path):
    console = Console(file=io.StringIO(), width=120)
    progress = SweepProgress(tmp_path, console)
    progress.start()
    for name, status in (("a", "completed"), ("b", "diverged")):
        (tmp_path / name).mkdir()
        result = {"status": status, "reason": "too large"}
        (tmp_path / name / "result.json").write_text(json.dumps(result))
    progress.stop()
    out = console.file.getvalue()
    assert "diverged  b: too large" in out
    assert "2/? runs · 1 diverged" in out
