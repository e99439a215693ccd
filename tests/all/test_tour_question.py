"""The last step of docs/tour.md, a sweep of 240 runs, supports what the page concludes from it."""

import csv
import math
import shlex
from collections import defaultdict
from statistics import median

from command_line import ROOT, run_command
from documents import commands

(QUESTION,) = [c for c in commands(ROOT / "docs" / "tour.md") if "name=question" in c]


def test_every_optimizer_converges_on_the_line_at_a_learning_rate_of_its_own(tmp_path):
    done = run_command(*shlex.split(QUESTION)[2:], cwd=tmp_path, timeout=1800)
    assert done.returncode == 0, done.stderr
    assert "240 runs: 230 completed, 10 diverged" in done.stdout
    report = tmp_path / "outputs" / "sweeps" / "question" / "report"
    gaps, statuses, hits = defaultdict(list), defaultdict(set), defaultdict(int)
    with (report / "results.csv").open(newline="") as stream:
        for row in csv.DictReader(stream):
            setting = row["task"], row["optimizer"], float(row["lr"])
            statuses[setting].add(row["status"])
            hits[setting[1:]] += math.isfinite(float(row["target_steps"] or "inf"))
            if row["status"] == "completed" and row["task"] == "line":
                gaps[setting].append(float(row["train/gap final"]))
    assert statuses["line", "sgd", 0.1] == {"diverged"}
    assert median(gaps["line", "adam", 0.1]) < 1e-9
    assert median(gaps["line", "adagrad", 1.0]) < 1e-9
    default, sgd = gaps["line", "adam", 0.001], gaps["line", "sgd", 0.01]
    assert median(sgd) < median(default)
    assert [setting for setting, count in hits.items() if count == 15] == [("adam", 0.1)]
