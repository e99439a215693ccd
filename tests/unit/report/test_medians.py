"""The median over seeds as TensorBoard runs, on disk and as a real server shows them."""

import statistics
from dataclasses import replace

import numpy as np
import pytest
from synthetic_sweeps import write_sweep
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard_server import served, wait_until

from stepsize.report.answer import answer_sweeps
from stepsize.report.curves import cached_curves
from stepsize.report.medians import aggregate, write_aggregates
from stepsize.report.read import read_sweep

RUN = "optimizer=adam,optimizer.lr={lr},seed={seed}"


def written(folder, *others):
    """Aggregate sweeps into the first one's report."""
    sweeps = [read_sweep(each) for each in (folder, *others)]
    write_aggregates(answer_sweeps(sweeps), folder / "report", cached_curves())
    return folder / "report"


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


def test_each_setting_is_one_run_under_its_readable_name(tmp_path):
    varied = {"optimizer": ["sgd", "adam"], "optimizer.lr": [0.01, 0.1], "seed": [0, 1]}
    report = written(write_sweep(tmp_path / "lr", varied))
    assert {run.name for run in report.iterdir()} == {
        "median sgd lr=0.01", "median sgd lr=0.1", "median adam lr=0.01", "median adam lr=0.1",
    }  # fmt: skip


def test_of_several_tasks_each_has_its_own(tmp_path):
    varied = {"task": ["line", "curve"], "optimizer": ["sgd", "adam"], "seed": [0, 1]}
    report = written(write_sweep(tmp_path / "tasks", varied))
    assert {run.name for run in report.iterdir()} == {
        "median line sgd", "median line adam", "median curve sgd", "median curve adam",
    }  # fmt: skip


def test_runs_of_the_tuning_stage_have_medians_of_their_own(tmp_path):
    varied = {"optimizer": ["adam"], "optimizer.lr": [0.01, 0.1], "seed": [0, 1, 2, 3]}
    stages = {RUN.format(lr=lr, seed=seed): "tune" for lr in (0.01, 0.1) for seed in (0, 1)}
    stages |= {RUN.format(lr=0.01, seed=seed): "test" for seed in (2, 3)}
    missing = {RUN.format(lr=0.1, seed=seed): {"status": "missing"} for seed in (2, 3)}
    stages |= dict.fromkeys(missing, "tune")
    sweep = write_sweep(tmp_path / "two", varied, stages=stages, special=missing)
    report = written(sweep)
    assert {run.name for run in report.iterdir()} == {
        "median adam lr=0.01", "median tuning adam lr=0.01", "median tuning adam lr=0.1",
    }  # fmt: skip
    tested = seeds_of(sweep, "train/loss", lr=0.01)[2:]
    shown = curves(report / "median adam lr=0.01")["train/loss"]
    assert shown[400] == pytest.approx(statistics.median(run[400] for run in tested))


@pytest.mark.parametrize("seeds", [2, 3, 4, 5, 10])
def test_every_point_is_the_median_in_its_quartiles_over_all_seeds(tmp_path, seeds):
    sweep = write_sweep(tmp_path / "s", {"optimizer": ["adam"], "seed": range(seeds)}, points=8)
    (run,) = written(sweep).iterdir()
    shown = curves(run)
    for tag in ("train/loss", "train/gap", "val/loss", "val/acc"):
        alone = seeds_of(sweep, tag)
        assert list(shown[tag]) == list(alone[0])
        for step in shown[tag]:
            low, middle, high = np.quantile([run[step] for run in alone], [0.25, 0.5, 0.75])
            assert shown[tag][step] == pytest.approx(middle, rel=1e-6)
            for name, value in (("q25", low), ("q50", middle), ("q75", high)):
                assert shown[f"quartiles/{tag}/{name}"][step] == pytest.approx(value, rel=1e-6)


def diverging(folder, ends, seeds):
    """A sweep of one setting, some of whose seeds diverge."""
    special = {
        f"optimizer=adam,seed={seed}": {"status": "diverged", "end": end}
        for seed, end in ends.items()
    }
    return write_sweep(folder, {"optimizer": ["adam"], "seed": range(seeds)}, special=special)


def test_a_seed_that_diverged_counts_as_infinitely_bad_from_then_on(tmp_path):
    sweep = diverging(tmp_path / "s", {0: 200}, seeds=3)
    (run,) = written(sweep).iterdir()
    shown, alone = curves(run), seeds_of(sweep, "train/loss")
    last = alone[1:]
    # Of two finite values and an infinite one the median is the larger of the finite.
    assert shown["train/loss"][400] == pytest.approx(max(run[400] for run in last), rel=1e-6)
    assert shown["train/loss"][190] == pytest.approx(
        statistics.median(run[190] for run in alone), rel=1e-6
    )
    # The upper quartile is infinite, so the band ends.
    assert max(shown["quartiles/train/loss/q75"]) == 190
    assert list(shown["quartiles/train/loss/q50"]) == list(shown["quartiles/train/loss/q75"])


def test_where_half_of_the_seeds_have_diverged_the_median_ends(tmp_path):
    (run,) = written(diverging(tmp_path / "s", {0: 100, 1: 300}, seeds=4)).iterdir()
    shown = curves(run)
    assert max(shown["train/loss"]) == 290
    assert all(np.isfinite(list(values.values())).all() for values in shown.values())


def test_if_larger_is_better_a_diverged_run_is_the_smallest(tmp_path):
    runs = read_sweep(diverging(tmp_path / "s", {0: 200}, seeds=3)).runs
    reader = cached_curves()

    def with_accuracies_of_their_own(run):
        steps, accuracies = reader(run)["val/acc"]
        return {"val/acc": (steps, accuracies - 0.1 * run.seed)}

    best, other = (with_accuracies_of_their_own(run)["val/acc"][1][-1] for run in runs[1:])
    steps, values = aggregate(runs, with_accuracies_of_their_own)["val/acc"]
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

    found = aggregate(read_sweep(sweep).runs, without_validation)
    steps, values = found["val/loss"]
    last = [run[400] for run in seeds_of(sweep, "val/loss")[1:]]
    assert dict(zip(steps.tolist(), values.tolist(), strict=True))[400] == pytest.approx(max(last))
    assert steps[0] == 200  # until then nothing is known of the third


def test_a_learning_rate_is_the_median_over_runs_that_did_not_diverge(tmp_path):
    (run,) = written(diverging(tmp_path / "s", {0: 100, 1: 100}, seeds=3)).iterdir()
    shown = curves(run)
    assert shown["lr/default"][400] == pytest.approx(0.01)
    assert not any(tag.startswith("quartiles/lr") for tag in shown)


def test_runs_that_did_not_finish_do_not_count(tmp_path):
    special = {
        "optimizer=adam,seed=0": {"status": "failed", "end": 100},
        "optimizer=adam,seed=1": {"status": "interrupted", "end": 100},
        "optimizer=adam,seed=2": {"status": "missing"},
    }
    varied = {"optimizer": ["adam"], "seed": range(5)}
    sweep = write_sweep(tmp_path / "s", varied, special=special)
    (run,) = written(sweep).iterdir()
    alone = seeds_of(sweep, "train/loss")[-2:]
    shown = curves(run)["train/loss"]
    assert shown[50] == pytest.approx(statistics.median(each[50] for each in alone), rel=1e-6)
    assert max(shown) == 400


def test_with_one_seed_there_are_no_medians(tmp_path):
    sweep = write_sweep(tmp_path / "s", {"optimizer": ["sgd", "adam"], "seed": [0]})
    assert not written(sweep).exists()


def test_a_new_report_replaces_the_old_aggregates_and_nothing_else(tmp_path):
    sweep = write_sweep(tmp_path / "s", {"optimizer": ["sgd", "adam"], "seed": [0, 1]})
    report = written(sweep)
    (report / "report.md").write_text("kept")
    before = {run.name: curves(run) for run in report.glob("median *")}
    other = write_sweep(tmp_path / "t", {"optimizer": ["adam", "lbfgs"], "seed": [0, 1]})
    write_aggregates(answer_sweeps([read_sweep(other)]), report, cached_curves())
    assert {path.name for path in report.iterdir()} == {
        "report.md", "median adam", "median lbfgs",
    }  # fmt: skip
    for run in report.glob("median *"):
        assert len(list(run.iterdir())) == 1
    write_aggregates(answer_sweeps([read_sweep(sweep)]), report, cached_curves())
    assert {run.name: curves(run) for run in report.glob("median *")} == before


def test_names_are_fit_for_any_file_system_and_unique(tmp_path):
    nets = ["a/b", "a:b", "x" * 300, "x" * 299 + "y"]
    sweep = read_sweep(write_sweep(tmp_path / "s", {"optimizer": ["adam"], "seed": range(8)}))
    runs = [
        replace(run, seed=index % 2, overrides=(f"model.net={nets[index // 2]}",))
        for index, run in enumerate(sweep.runs)
    ]
    write_aggregates(
        answer_sweeps([replace(sweep, runs=runs)]), tmp_path / "report", cached_curves()
    )
    made = [run.name for run in (tmp_path / "report").iterdir()]
    assert len(made) == 4
    assert all(len(name.encode()) <= 255 and ":" not in name for name in made)


def test_a_server_shows_them_with_a_layout_of_bands(tmp_path):
    varied = {"optimizer": ["sgd", "adam"], "seed": [0, 1, 2]}
    sweep = write_sweep(tmp_path / "s", varied)
    report = written(sweep)
    expected = {run.name: curves(run) for run in report.iterdir()}

    def all_read(server):
        shown = server.get("scalars/tags")
        return len(shown) == 2 and server.get("custom_scalars/layout")

    with served(tmp_path, all_read) as server:
        assert set(server.get("scalars/tags")) == {f"s/report/{name}" for name in expected}
        for name, tags in expected.items():
            for tag, curve in tags.items():
                assert server.curve(f"s/report/{name}", tag) == curve
        (category,) = server.get("custom_scalars/layout")["category"]
        # The page shows margin charts in reverse.
        titles = [chart["title"] for chart in category["chart"]][::-1]
        assert titles == ["train/loss", "train/gap", "val/loss", "val/acc"]
        for chart in category["chart"]:
            (band,) = chart["margin"]["series"]
            for tag in (band["lower"], band["value"], band["upper"]):
                assert tag in expected["median adam"]
                assert chart["title"] in tag
            assert band["lower"].endswith("q25")
            assert band["upper"].endswith("q75")
        # A report that is written again while somebody is looking.
        changed = write_sweep(
            tmp_path / "t", {"optimizer": ["sgd", "adam"], "seed": [5, 6, 7]}, points=10
        )
        write_aggregates(answer_sweeps([read_sweep(changed)]), report, cached_curves())
        expected = curves(report / "median adam")["train/loss"]
        wait_until(lambda: server.curve("s/report/median adam", "train/loss") == expected)
