"""The report's TensorBoard runs: on disk, and as a real server shows them."""

import json
import math
import statistics
from dataclasses import replace
from urllib.error import HTTPError

import numpy as np
import pytest
from synthetic_sweeps import write_sweep
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard_server import served, wait_until

from stepsize.loggers.event_file import first_event_time
from stepsize.report.answer import answer_sweeps
from stepsize.report.chapters import TaskChapters
from stepsize.report.curves import cached_curves
from stepsize.report.line_styles import looks
from stepsize.report.read import read_sweep
from stepsize.report.report import write_report
from stepsize.report.tensorboard import PLACES, medians, write_board

RUN = "optimizer=adam,optimizer.lr={lr},seed={seed}"
EXTRA = {"answer", "target 0.001"}


def board(sweeps, report):
    """Write the runs as a report does."""
    answer, curves_of = answer_sweeps(sweeps), cached_curves()
    by_method = looks(answer.settings)
    chapters = [TaskChapters(task, curves_of, by_method, None) for task in answer.tasks]
    write_board(answer, report, curves_of, {each.answer.task: each.looks for each in chapters})


def written(folder, *others):
    """The runs of sweeps in the first one's report."""
    board([read_sweep(each) for each in (folder, *others)], folder / "report")
    return folder / "report"


def settings_of(report):
    """The folders of settings."""
    others = (*EXTRA, "target")
    return {
        run.name: run
        for run in report.iterdir()
        if run.is_dir() and not run.name.startswith(others) and not run.name.endswith(" seed")
    }


def curves(run):
    """``{tag: {step: value}}`` of a run's events."""
    events = EventAccumulator(str(run), size_guidance={"scalars": 0}).Reload()
    return {
        tag: {event.step: event.value for event in events.Scalars(tag)}
        for tag in events.Tags()["scalars"]
    }


def seeds_of(sweep, tag, lr=None):
    """The curves of the runs of one learning rate that have the tag."""
    read = cached_curves()
    runs = [run for run in read_sweep(sweep).runs if lr is None or run.lr == lr]
    found = [read(run)[tag] for run in runs if tag in read(run)]
    return [dict(zip(steps.tolist(), values.tolist(), strict=True)) for steps, values in found]


def diverging(folder, ends, seeds):
    """A sweep of one setting, some of whose seeds diverge."""
    special = {
        f"optimizer=adam,seed={seed}": {"status": "diverged", "end": end}
        for seed, end in ends.items()
    }
    return write_sweep(folder, {"optimizer": ["adam"], "seed": range(seeds)}, special=special)


def test_if_larger_is_better_a_diverged_run_is_the_smallest(tmp_path):
    runs = read_sweep(diverging(tmp_path / "s", {0: 200}, seeds=3)).runs
    reader = cached_curves()

    def with_accuracies_of_their_own(run):
        steps, accuracies = reader(run)["val/acc"]
        return {"val/acc": (steps, accuracies - 0.1 * run.seed)}

    best, other = (with_accuracies_of_their_own(run)["val/acc"][1][-1] for run in runs[1:])
    steps, values = medians(runs, with_accuracies_of_their_own)["val/acc"].median
    assert (steps[-1], values[-1]) == (400, other)
    assert other < best


def test_a_seed_that_diverged_before_its_first_validation_counts_too(tmp_path):
    sweep = diverging(tmp_path / "s", {0: 200}, seeds=3)
    reader = cached_curves()

    def without_validation(run):
        return {
            tag: curve
            for tag, curve in reader(run).items()
            if run.status == "completed" or not tag.startswith("val/")
        }

    found = medians(read_sweep(sweep).runs, without_validation)
    steps, values = found["val/loss"].median
    last = [run[400] for run in seeds_of(sweep, "val/loss")[1:]]
    assert dict(zip(steps.tolist(), values.tolist(), strict=True))[400] == pytest.approx(max(last))
    assert steps[0] == 200  # until then nothing is known of the third


def test_each_setting_is_one_run_under_its_name(tmp_path):
    varied = {"optimizer": ["sgd", "adam"], "optimizer.lr": [0.01, 0.1], "seed": [0, 1]}
    report = written(write_sweep(tmp_path / "lr", varied))
    assert set(settings_of(report)) == {"sgd lr=0.01", "sgd lr=0.1", "adam lr=0.01", "adam lr=0.1"}
    assert {run.name for run in report.iterdir()} >= EXTRA


def test_the_judged_metric_of_the_best_settings_is_in_the_first_group(tmp_path):
    sweep = write_sweep(
        tmp_path / "s", {"optimizer": ["sgd", "adam"], "seed": [0, 1, 2]}, known=False
    )
    for run in settings_of(written(sweep)).values():
        tags = sorted(curves(run))
        assert tags[:3] == [
            "compare/curve train/loss", "compare/curve train/loss log10", "compare/curve val/loss",
        ]  # fmt: skip
        assert {tag.split("/")[0] for tag in tags} == {"compare", "more", "with bands"}


def test_of_a_gap_only_the_logarithm_is_compared(tmp_path):
    sweep = write_sweep(tmp_path / "s", {"optimizer": ["adam"], "seed": [0, 1, 2]})
    shown = curves(written(sweep) / "adam")
    assert {tag for tag in shown if "train/gap" in tag and tag.startswith("compare")} == {
        "compare/curve train/gap log10"
    }
    last = statistics.median(run[400] for run in seeds_of(sweep, "train/gap"))
    assert shown["compare/curve train/gap log10"][400] == pytest.approx(math.log10(last))
    target = curves(sweep / "report" / "target 0.001")
    assert target == {"compare/curve train/gap log10": {0: -3.0, 400: -3.0}}


def test_of_several_tasks_each_has_runs_of_its_own(tmp_path):
    varied = {"task": ["line", "curve"], "optimizer": ["sgd", "adam"], "seed": [0, 1]}
    report = written(write_sweep(tmp_path / "tasks", varied))
    assert {run.name for run in report.iterdir() if not run.name.endswith(" seed")} == {
        "answer", "line sgd", "line adam", "curve sgd", "curve adam", "line target 0.001",
        "curve target 0.001",
    }  # fmt: skip


def test_settings_beyond_the_best_five_are_beneath(tmp_path):
    names = ["sgd", "adam", "nadam", "lion", "rmsprop", "adagrad", "adadelta"]
    sweep = write_sweep(tmp_path / "s", {"optimizer": names, "seed": [0, 1]})
    report = written(sweep)
    (task,) = answer_sweeps([read_sweep(sweep)]).tasks
    ranked = [entry.setting.label for entry in task.comparison.entries]
    compared = [
        name
        for name, run in settings_of(report).items()
        if any(tag.startswith("compare/") for tag in curves(run))
    ]
    assert set(compared) == set(ranked[:5])
    assert set(curves(report / ranked[5])) == {"more/curve train/gap log10"}


def test_runs_of_the_tuning_stage_are_not_shown(tmp_path):
    varied = {"optimizer": ["adam"], "optimizer.lr": [0.01, 0.1], "seed": [0, 1, 2, 3]}
    stages = {RUN.format(lr=lr, seed=seed): "tune" for lr in (0.01, 0.1) for seed in (0, 1)}
    stages |= {RUN.format(lr=0.01, seed=seed): "test" for seed in (2, 3)}
    missing = {RUN.format(lr=0.1, seed=seed): {"status": "missing"} for seed in (2, 3)}
    stages |= dict.fromkeys(missing, "tune")
    sweep = write_sweep(tmp_path / "two", varied, stages=stages, special=missing, known=False)
    report = written(sweep)
    assert set(settings_of(report)) == {"adam lr=0.01"}
    tested = seeds_of(sweep, "train/loss", lr=0.01)[2:]
    shown = curves(report / "adam lr=0.01")["compare/curve train/loss"]
    assert shown[400] == pytest.approx(statistics.median(run[400] for run in tested))


@pytest.mark.parametrize("seeds", [1, 2, 3, 5])
def test_every_point_is_the_median_in_its_quartiles_over_all_seeds(tmp_path, seeds):
    varied = {"optimizer": ["adam"], "seed": range(seeds)}
    sweep = write_sweep(tmp_path / "s", varied, points=8, known=False)
    shown = curves(written(sweep) / "adam")
    for tag, group in (("train/loss", "compare"), ("val/acc", "more")):
        alone = seeds_of(sweep, tag)
        assert list(shown[f"{group}/curve {tag}"]) == list(alone[0])
        for step in alone[0]:
            low, middle, high = np.quantile([run[step] for run in alone], [0.25, 0.5, 0.75])
            assert shown[f"{group}/curve {tag}"][step] == pytest.approx(middle, rel=1e-6)
            for name, value in (("q25", low), ("q50", middle), ("q75", high)):
                band = shown[f"with bands/curve {tag} {name}"]
                assert band[step] == pytest.approx(value, rel=1e-6)


def test_the_validation_loss_has_a_point_at_every_point_of_the_judged_metric(tmp_path):
    sweep = write_sweep(tmp_path / "s", {"optimizer": ["adam"], "seed": [0, 1, 2]}, known=False)
    shown = curves(written(sweep) / "adam")
    held = shown["compare/curve val/loss"]
    assert list(held) == list(shown["compare/curve train/loss"])
    assert held[50] == held[90]  # until the next validation
    alone = seeds_of(sweep, "val/loss")
    assert held[90] == pytest.approx(statistics.median(run[50] for run in alone))


def test_a_seed_that_diverged_counts_as_infinitely_bad_from_then_on(tmp_path):
    sweep = diverging(tmp_path / "s", {0: 200}, seeds=3)
    shown, alone = curves(written(sweep) / "adam"), seeds_of(sweep, "train/loss")
    loss = shown["more/curve train/loss"]
    # Of two finite values and an infinite one the median is the larger of the finite.
    assert loss[400] == pytest.approx(max(run[400] for run in alone[1:]), rel=1e-6)
    assert loss[190] == pytest.approx(statistics.median(run[190] for run in alone), rel=1e-6)
    # The upper quartile is infinite, so the band ends.
    assert max(shown["with bands/curve train/loss q75"]) == 190
    assert list(shown["with bands/curve train/loss q50"]) == list(
        shown["with bands/curve train/loss q75"]
    )


def test_where_half_of_the_seeds_have_diverged_the_median_ends(tmp_path):
    shown = curves(written(diverging(tmp_path / "s", {0: 100, 1: 300}, seeds=4)) / "adam")
    assert max(shown["more/curve train/loss"]) == 290
    assert all(np.isfinite(list(values.values())).all() for values in shown.values())


def test_a_learning_rate_is_the_median_over_runs_that_did_not_diverge(tmp_path):
    shown = curves(written(diverging(tmp_path / "s", {0: 100, 1: 100}, seeds=3)) / "adam")
    assert shown["more/curve lr/default"][400] == pytest.approx(0.01)
    assert not any(tag.startswith("with bands/curve lr") for tag in shown)


def test_runs_that_did_not_finish_do_not_count(tmp_path):
    special = {
        "optimizer=adam,seed=0": {"status": "failed", "end": 100},
        "optimizer=adam,seed=1": {"status": "interrupted", "end": 100},
        "optimizer=adam,seed=2": {"status": "missing"},
    }
    varied = {"optimizer": ["adam"], "seed": range(5)}
    sweep = write_sweep(tmp_path / "s", varied, special=special)
    shown = curves(written(sweep) / "adam")["more/curve train/loss"]
    alone = seeds_of(sweep, "train/loss")[-2:]
    assert shown[50] == pytest.approx(statistics.median(each[50] for each in alone), rel=1e-6)
    assert max(shown) == 400


def order_of(folder):
    """The names of runs in the order of their first events, which gives them their colours."""
    times = {run.name: first_event_time(run) for run in folder.iterdir()}
    return sorted(times, key=times.__getitem__)


def test_a_runs_place_gives_it_the_colour_that_it_has_in_the_report(tmp_path):
    names = ["sgd", "adam", "nadam", "rmsprop", "adagrad"]
    sweep = write_sweep(tmp_path / "s", {"optimizer": names, "seed": [0, 1]})
    order = order_of(written(sweep))
    answer = answer_sweeps([read_sweep(sweep)])
    by_method = looks(answer.settings)
    assert {name: PLACES[order.index(name)] for name in names} == {
        name: by_method[name].colour for name in names
    }
    assert set(order) == {*names, *EXTRA}


def test_worst_and_best_seeds_fill_the_places_of_a_small_sweep(tmp_path):
    sweep = write_sweep(tmp_path / "s", {"optimizer": ["sgd", "adam"], "seed": [0, 1, 2]})
    report = written(sweep)
    order = order_of(report)
    assert [order.index("sgd"), order.index("adam")] == [4, 6]  # blue and vermilion
    assert {*order} == {
        "sgd", "adam", "sgd worst seed", "adam worst seed", "adam best seed", *EXTRA,
    }  # fmt: skip
    (worst,) = curves(report / "sgd worst seed").values()
    assert worst[400] == pytest.approx(
        math.log10(max(run[400] for run in gaps(sweep, "sgd"))), rel=1e-6
    )


def gaps(sweep, optimizer):
    read = cached_curves()
    found = [read(r)["train/gap"] for r in read_sweep(sweep).runs if r.optimizer == optimizer]
    return [dict(zip(steps.tolist(), values.tolist(), strict=True)) for steps, values in found]


def test_two_settings_of_one_colour_get_two_colours(tmp_path):
    # In the report both are sky blue, one solid and one dashed. TensorBoard has no dashes.
    sweep = write_sweep(tmp_path / "s", {"optimizer": ["lion", "nadam"], "seed": [0, 1]})
    order = order_of(written(sweep))
    places = [order.index("lion"), order.index("nadam")]
    assert len(set(places)) == 2


def test_the_runs_of_the_report_come_before_those_of_the_sweep(tmp_path):
    sweep = write_sweep(tmp_path / "s", {"optimizer": ["sgd", "adam"], "seed": [0, 1]})
    from torch.utils.tensorboard import SummaryWriter

    runs = [run for run in sweep.iterdir() if run.is_dir()]
    for run in runs:
        with SummaryWriter(str(run)) as writer:
            writer.add_scalar("train/loss", 1.0, 0)
    began = min(first_event_time(run) for run in runs)
    times = [first_event_time(run) for run in written(sweep).iterdir()]
    assert max(times) < began
    assert min(times) == pytest.approx(began - 60)


def test_relative_time_is_the_median_time_of_the_runs(tmp_path):
    sweep = write_sweep(tmp_path / "s", {"optimizer": ["adam"], "seed": [0, 1, 2]}, known=False)
    seconds = statistics.median(run.seconds for run in read_sweep(sweep).runs)
    events = EventAccumulator(str(written(sweep) / "adam")).Reload()
    points = events.Scalars("compare/curve train/loss")
    assert points[-1].wall_time - points[0].wall_time == pytest.approx(seconds, abs=1e-3)


def test_a_new_report_replaces_the_runs_of_the_old_one_and_nothing_else(tmp_path):
    sweep = write_sweep(tmp_path / "s", {"optimizer": ["sgd", "adam"], "seed": [0, 1]})
    report = written(sweep)
    (report / "report.md").write_text("kept")
    (report / "own").mkdir()
    (report / "own" / "events.out.tfevents.1.host").write_bytes(b"kept")
    before = {name: curves(run) for name, run in settings_of(report).items()}
    other = write_sweep(tmp_path / "t", {"optimizer": ["adam", "lbfgs"], "seed": [0, 1]})
    board([read_sweep(other)], report)
    assert {path.name for path in report.iterdir() if not path.name.endswith(" seed")} == {
        "report.md", "own", "adam", "lbfgs", *EXTRA,
    }  # fmt: skip
    assert all(len(list(run.iterdir())) == 1 for run in report.iterdir() if run.is_dir())
    board([read_sweep(sweep)], report)
    assert {name: curves(report / name) for name in before} == before


def test_names_are_fit_for_any_file_system_and_unique(tmp_path):
    nets = ["a/b", "a:b", "x" * 300, "x" * 299 + "y"]
    sweep = read_sweep(write_sweep(tmp_path / "s", {"optimizer": ["adam"], "seed": range(8)}))
    runs = [
        replace(run, seed=index % 2, overrides=(f"model.net={nets[index // 2]}",))
        for index, run in enumerate(sweep.runs)
    ]
    board([replace(sweep, runs=runs)], tmp_path / "report")
    made = settings_of(tmp_path / "report")
    assert len(made) == 4
    assert all(len(name.encode()) <= 255 and ":" not in name for name in made)


def test_a_score_has_no_logarithm_and_its_target_is_a_line(tmp_path):
    sweep = write_sweep(tmp_path / "s", {"optimizer": ["adam", "sgd"], "seed": [0, 1]}, known=False)
    for file in sweep.glob("*/result.json"):
        result = json.loads(file.read_text())
        result |= {"monitor": "val/acc", "mode": "max"}
        result["target"] = {"metric": "val/acc", "value": 0.9, "steps": 50}
        file.write_text(json.dumps(result))
    report = written(sweep)
    assert {tag for tag in curves(report / "adam") if tag.startswith("compare/")} == {
        "compare/curve val/acc", "compare/curve val/loss",
    }  # fmt: skip
    line = curves(report / "target 0.9")["compare/curve val/acc"]
    assert line == {0: pytest.approx(0.9), 400: pytest.approx(0.9)}


def test_the_target_of_the_validation_loss_is_on_its_chart(tmp_path):
    sweep = write_sweep(tmp_path / "s", {"optimizer": ["adam", "sgd"], "seed": [0, 1]}, known=False)
    for file in sweep.glob("*/result.json"):
        result = json.loads(file.read_text())
        result["target"] = {"metric": "val/loss", "value": 0.2, "steps": 50}
        file.write_text(json.dumps(result))
    report = written(sweep)
    (tag,) = curves(report / "target 0.2")
    assert tag == "compare/curve val/loss"
    assert tag in curves(report / "adam")


def test_what_a_killed_report_has_left_does_not_stop_the_next_one(tmp_path):
    sweep = write_sweep(tmp_path / "s", {"optimizer": ["adam", "sgd"], "seed": [0, 1]})
    for name, file in (("adam", None), ("sgd", "notes.txt"), ("old", None)):
        folder = sweep / "report" / name
        folder.mkdir(parents=True)
        if file:
            (folder / file).write_text("theirs")
    report = written(sweep)
    assert (report / "sgd" / "notes.txt").exists()
    assert not (report / "old").exists()
    assert set(settings_of(written(sweep))) == {"adam", "sgd"}
    assert len(list((report / "sgd").glob("events*"))) == 1


def test_a_server_shows_the_answer_and_bands(tmp_path):
    varied = {"optimizer": ["sgd", "adam"], "seed": [0, 1, 2]}
    sweep = write_sweep(tmp_path / "s", varied)
    report = write_report([sweep], sweep / "report").page.parent
    expected = {name: curves(run) for name, run in settings_of(report).items() if run.is_dir()}
    (task,) = answer_sweeps([read_sweep(sweep)]).tasks

    def all_read(server):
        shown = server.get("scalars/tags")
        return len(shown) == 6 and server.get("custom_scalars/layout")

    with served(tmp_path, all_read) as server:
        assert set(server.get("scalars/tags")) >= {f"s/report/{name}" for name in expected}
        (text,) = server.get("text/text", run="s/report/answer", tag="answer/text_summary")
        assert task.conclusion.caveats[0].split("`")[0] in text["text"]
        assert "<table>" in text["text"]
        (category,) = server.get("custom_scalars/layout")["category"]
        # The page shows margin charts in reverse.
        titles = [chart["title"] for chart in category["chart"]][::-1]
        assert titles == [
            f"curve {tag}" for tag in ("train/loss", "train/gap", "val/loss", "val/acc")
        ]
        for chart in category["chart"]:
            (band,) = chart["margin"]["series"]
            for tag in (band["lower"], band["value"], band["upper"]):
                assert tag in expected["adam"]
                assert chart["title"] in tag
            assert band["lower"].endswith("q25")
            assert band["upper"].endswith("q75")
        # A report that is written again while somebody is looking.
        changed = write_sweep(
            tmp_path / "t", {"optimizer": ["sgd", "adam"], "seed": [5, 6, 7]}, points=10
        )
        board([read_sweep(changed)], report)
        tag = "compare/curve train/gap log10"
        expected = curves(report / "adam")[tag]

        def renewed():
            try:
                return server.curve("s/report/adam", tag) == expected
            except HTTPError:  # between the removal of the old run and the new one
                return False

        wait_until(renewed)
