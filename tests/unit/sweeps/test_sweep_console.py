"""What a sweep prints while it runs and at its end."""

import io
import json
import re
import shlex
from urllib.parse import parse_qs, urlsplit

import pytest
from rich.console import Console
from synthetic_sweeps import write_sweep

from stepsize.report.answer import answer_sweeps
from stepsize.report.read import read_sweep
from stepsize.run.links import MOST_RUNS, report_link, runs_link
from stepsize.sweeps.console import SweepProgress, print_end, print_interruption
from stepsize.sweeps.events import Line, Working, tell


def printed_end(folder, report=None, width=120):
    console = Console(file=io.StringIO(), width=width)
    sweep = read_sweep(folder)
    print_end(sweep, answer_sweeps([sweep]), report, console)
    return console.file.getvalue()


def with_events(folder):
    for run in read_sweep(folder).runs:
        (run.folder / "events.out.tfevents.1").write_bytes(b"")
    return folder


def test_the_end_begins_with_the_answer_in_at_most_three_lines(tmp_path):
    folder = write_sweep(tmp_path / "s", {"optimizer": ["sgd", "adam"], "seed": range(8)})
    lines = printed_end(folder).splitlines()
    assert lines[0].startswith("adam ends lowest: median train/gap 0.00")
    assert lines[1].startswith("It is significantly better than sgd: ")
    assert lines[3] == ""


def test_the_table_has_the_best_setting_of_each_method_by_the_judged_metric(tmp_path):
    varied = {"optimizer": ["sgd", "adam"], "optimizer.lr": [0.01, 0.1], "seed": [0, 1]}
    out = printed_end(write_sweep(tmp_path / "s", varied))
    assert "train/gap" in out
    rows = [line.split() for line in out.splitlines() if " lr=" in line and "2  " in line]
    assert [row[:3] for row in rows] == [["adam", "lr=0.01", "2"], ["sgd", "lr=0.1", "2"]]


def test_many_settings_of_one_method_are_cut_to_a_screen(tmp_path):
    varied = {"optimizer": ["adam"], "optimizer.lr": [1 / k for k in range(1, 41)], "seed": [0]}
    out = printed_end(write_sweep(tmp_path / "s", varied))
    assert "28 more in the report" in out
    assert len(out.splitlines()) < 25


def test_runs_of_one_setting_that_diverge_are_one_line(tmp_path):
    special = {
        f"optimizer=sgd,seed={seed}": {"status": "diverged", "end": 50 + 10 * seed}
        for seed in range(10)
    }
    varied = {"optimizer": ["sgd", "adam"], "seed": range(10)}
    out = printed_end(write_sweep(tmp_path / "s", varied, special=special))
    (line,) = [line for line in out.splitlines() if line.startswith("diverged")]
    assert line == "diverged  sgd, 10 runs: train/loss is nan at step 50 (the first reason)"


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


def test_another_key_that_ends_in_name_is_not_the_name_of_the_sweep(tmp_path):
    folder = write_sweep(tmp_path / "s", {"optimizer": ["sgd"], "seed": [0]})
    plan = json.loads((folder / "sweep.json").read_text())
    plan["commands"] = ["python train.py -m +model.net.name=x seed=0,1"]
    (folder / "sweep.json").write_text(json.dumps(plan))
    console = Console(file=io.StringIO(), width=80)
    print_interruption(read_sweep(folder), "Ctrl-C", None, console)
    assert console.file.getvalue().rstrip().endswith("+model.net.name=x seed=0,1 name=s")


@pytest.mark.parametrize("width", [80, 100])
def test_commands_and_links_are_not_folded_and_can_be_pasted(tmp_path, width):
    folder = tmp_path / "a folder with blanks"
    with_events(write_sweep(folder, {"optimizer": ["sgd", "adam"], "seed": [0, 1]}))
    lines = printed_end(folder, folder / "report" / "report.html", width).splitlines()
    found = [i for i, line in enumerate(lines) if "--logdir" in line]
    first, second = (shlex.split(lines[index])[-1] for index in found)
    assert (first, second) == (str(folder / "report"), str(folder))
    links = [shlex.split(lines[index + 1]) for index in found]
    runs = [run.run for run in read_sweep(folder).runs]
    assert links == [[report_link()], [runs_link(runs)]]


def test_without_event_files_tensorboard_is_not_named(tmp_path):
    folder = write_sweep(tmp_path / "s", {"optimizer": ["sgd", "adam"]})
    out = printed_end(folder, folder / "report" / "report.html")
    assert "ensor" not in out
    assert "localhost" not in out


def test_of_more_runs_than_tensorboard_selects_only_the_report_is_recommended(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("stepsize.sweeps.console.MOST_RUNS", 3)
    assert MOST_RUNS == 500
    folder = with_events(write_sweep(tmp_path / "s", {"optimizer": ["sgd"], "seed": range(4)}))
    out = printed_end(folder, folder / "report" / "report.html")
    assert "TensorBoard" in out
    assert "single runs" not in out


def query(link):
    parts = urlsplit(link)
    assert parts.fragment == "timeseries"  # the query stands before it
    return {key: value for key, (value,) in parse_qs(parts.query).items()}


def test_the_link_of_the_report_shows_the_comparison_without_smoothing():
    assert query(report_link()) == {"smoothing": "0", "tagFilter": "^compare/"}


@pytest.mark.parametrize(
    ("names", "key"),
    [
        (["optimizer=sgd,seed=0", "optimizer=adam,seed=0"], "optimizer"),
        (["scheduler=none,seed=0", "scheduler=cosine,seed=0"], "scheduler"),
        (["optimizer=sgd,optimizer.lr=1,seed=0", "optimizer=sgd,optimizer.lr=2,seed=0"],
         r"optimizer\.lr"),
        (["optimizer.betas=[0.9,0.99],seed=0", "optimizer.betas=[0.8,0.99],seed=0"],
         r"optimizer\.betas"),
    ],
    ids=["optimizer", "scheduler", "learning rate", "list"],
)  # fmt: skip
def test_the_link_of_single_runs_colours_them_by_what_varies(names, key):
    found = query(runs_link(names))
    assert found["runColorGroup"] == f"regex:{key}=([^,]+)"
    assert found["runFilter"] == "seed="
    assert found["tagFilter"] == "^(train|val)/loss"


def progress_of(folder, terminal=False):
    console = Console(file=io.StringIO(), width=80, force_terminal=terminal)
    return SweepProgress(folder, console), console.file


def end_run(folder, name, status, reason=None):
    (folder / name).mkdir()
    (folder / name / "result.json").write_text(json.dumps({"status": status, "reason": reason}))


def test_a_failed_setting_is_printed_once(tmp_path):
    progress, out = progress_of(tmp_path)
    progress.start()
    for seed in range(3):
        end_run(tmp_path, f"optimizer=sgd,seed={seed}", "failed", "no such key")
    progress.stop()
    assert out.getvalue().count("failed  optimizer=sgd") == 1
    assert "3 failed" in out.getvalue()


def test_the_phases_are_shown_and_lines_of_other_processes_stay_whole(tmp_path):
    progress, out = progress_of(tmp_path)
    progress.start()
    tell(Working("compiling", 4, process=1))
    progress._look()
    tell(Line("a line of a fork"))
    tell(Working("training", 4, 10, 100, process=1))
    assert progress.step == (10, 100)
    progress._look()
    tell(Working("writing", 4, process=1))
    progress._look()
    tell(Working("", process=1))
    progress.report()
    progress.stop()
    lines = out.getvalue().splitlines()
    assert lines == ["composing", "compiling", "a line of a fork", "training", "writing", "report"]
    assert "\x1b" not in out.getvalue()


def test_no_time_is_estimated_from_the_first_step(tmp_path, monkeypatch):
    """The first step contains tracing and compiling."""
    write_sweep(tmp_path, {"optimizer": ["sgd", "adam"]})
    plan = json.loads((tmp_path / "sweep.json").read_text())
    plan["jobs"] = [{**plan["jobs"][0], "run": f"r{number}"} for number in range(4)]
    (tmp_path / "sweep.json").write_text(json.dumps(plan))
    now = [1000.0]
    monkeypatch.setattr("stepsize.sweeps.console.time.time", lambda: now[0])
    progress, _ = progress_of(tmp_path)
    progress._working[1] = Working("training", 4, 1, 100, process=1)
    assert progress._estimate(0, 4) == ""
    now[0] += 10
    progress._working[1] = Working("training", 4, 11, 100, process=1)
    assert progress._estimate(0, 4) == "0:01:29 left"  # 89 steps of a second


def test_the_line_of_a_terminal_keeps_its_width(tmp_path):
    write_sweep(tmp_path, {"optimizer": ["sgd", "adam"], "seed": range(6)})
    progress, out = progress_of(tmp_path, terminal=True)
    progress._ended = {}
    for done, left in ((0, ""), (3, "0:00:07 left"), (12, "")):
        progress._show_bar("training", f"{done:>2}/12 runs", left, [], 12)
    progress.stop()
    frames = [line for line in out.getvalue().replace("\r", "\n").split("\n") if "runs" in line]
    starts = {Console().render_str(f).plain.find("/12") for f in map(plain, frames)}
    assert len(starts) == 1


def test_no_colour_is_printed_where_none_is_wanted(tmp_path, monkeypatch):
    special = {"optimizer=sgd,seed=1": {"status": "diverged", "end": 50}}
    varied = {"optimizer": ["sgd", "adam"], "seed": [0, 1]}
    folder = write_sweep(tmp_path / "s", varied, special=special)

    def colours():
        console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system="256")
        sweep = read_sweep(folder)
        print_end(sweep, answer_sweeps([sweep]), None, console)
        return re.findall(r"\x1b\[(?:\d+;)*3[0-7]", console.file.getvalue())

    assert colours()
    monkeypatch.setenv("NO_COLOR", "1")
    assert not colours()


def plain(text):
    from rich.text import Text

    return Text.from_ansi(text).plain


def test_an_interrupted_sweep_says_by_what_at_which_step_and_how_to_continue(tmp_path):
    special = {
        "optimizer=sgd,seed=1": {"status": "missing"},
        "optimizer=adam,seed=0": {"status": "missing"},
        "optimizer=adam,seed=1": {"status": "missing"},
    }
    varied = {"optimizer": ["sgd", "adam"], "seed": [0, 1]}
    sweep = read_sweep(write_sweep(tmp_path / "s", varied, special=special))
    console = Console(file=io.StringIO(), width=80)
    print_interruption(sweep, "Ctrl-C", (30, 100), console)
    first, second = console.file.getvalue().splitlines()
    assert first == (
        "interrupted by Ctrl-C: 1 of 4 runs are done; the vectorized ones start again "
        "(they were at step 30 of 100)"
    )
    assert second.startswith("continue python train.py -m ")
    assert second.endswith("name=s")
