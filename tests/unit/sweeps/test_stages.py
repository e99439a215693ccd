"""The final stage of a sweep: which settings it selects, and what it refuses."""

import json

import pytest
from conftest import CONF
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from stepsize.report.answer import answer_sweeps
from stepsize.report.read import read_sweep
from stepsize.report.task import lr_curves
from stepsize.sweeps.jobs import Job, run_name
from stepsize.sweeps.plan import Plan
from stepsize.sweeps.stages import FinalStage

FINAL = FinalStage("optimizer", ("10", "11"))


def job(optimizer, lr, seed):
    overrides = (f"optimizer={optimizer}", f"optimizer.lr={lr}", f"seed={seed}")
    return Job(
        run_name(overrides), overrides, "tune", "line", optimizer, "none", "none", seed, lr
    )  # fmt: skip


@pytest.fixture
def finished(tmp_path):
    """The plan of a folder in which each of these jobs has ended: ``{job: final value}``.

    A value may be a pair: the final loss and the final gap to a known optimum.
    """

    def write(finals, mode="min"):
        plan = Plan(tmp_path, commands=["python train.py"])
        plan.add(list(finals))
        for each, value in finals.items():
            (tmp_path / each.run).mkdir()
            loss, gap = value if isinstance(value, tuple) else (value, None)
            metrics = {} if loss is None else {"train/loss": dict.fromkeys(("final", "best"), loss)}
            metrics |= {} if gap is None else {"train/gap": dict.fromkeys(("final", "best"), gap)}
            result = {
                "status": "diverged" if loss is None else "completed", "objective": loss,
                "monitor": "train/loss", "mode": mode, "metrics": metrics, "steps": 10,
                "optimum": None if gap is None else 0.5, "overrides": list(each.overrides),
                **{key: getattr(each, key) for key in ("task", "optimizer", "seed", "lr")},
            }  # fmt: skip
            (tmp_path / each.run / "result.json").write_text(json.dumps(result))
        return plan

    return write


@pytest.mark.parametrize(("mode", "best"), [("min", "0.1"), ("max", "0.2")])
def test_the_setting_with_the_best_median_runs_on_every_fresh_seed(finished, mode, best):
    objectives = {job("sgd", lr, seed): seed + lr for lr in (0.1, 0.2) for seed in range(3)}
    plan = finished(objectives, mode)
    assert FINAL.select(list(objectives), plan) == [
        ["optimizer=sgd", f"optimizer.lr={best}", f"seed={seed}"] for seed in (10, 11)
    ]


def test_one_setting_is_selected_for_each_value_of_the_key(finished):
    objectives = {job(name, 0.1, seed): 1.0 for name in ("sgd", "adam") for seed in range(2)}
    selected = FINAL.select(list(objectives), finished(objectives))
    assert [overrides[0] for overrides in selected] == ["optimizer=sgd"] * 2 + [
        "optimizer=adam"
    ] * 2


def test_a_lucky_run_beside_diverged_ones_selects_no_setting(finished):
    jobs = [job("sgd", 0.1, seed) for seed in range(3)]
    plan = finished(dict(zip(jobs, (0.001, None, None), strict=True)))
    assert FINAL.select(jobs, plan) == []
    assert plan.skipped[0]["overrides"] == ["task=line", "optimizer=sgd"]


def test_the_gap_selects_where_the_optimum_is_known_because_losses_tie_by_rounding(finished):
    # Float32 losses near the optimum differ by rounding; only the gap tells the settings apart.
    finals = {job("adam", 10.0, seed): (0.5, 0.08) for seed in range(3)}
    finals |= {job("adam", 1.0, seed): (0.5 + 1e-9, 1e-9) for seed in range(3)}
    plan = finished(finals)
    assert {overrides[1] for overrides in FINAL.select(list(finals), plan)} == {"optimizer.lr=1.0"}


@pytest.mark.parametrize(
    "others",
    [{0.1: (1, 2, 9), 0.3: (1, 2, 3)}, {0.3: (0, 2, 2), 1.0: (0, 2, 2)}],
    ids=["the quartile on the bad side", "the smaller learning rate"],
)
def test_ties_of_the_median_are_decided_by(finished, others):
    finals = {
        job("sgd", lr, seed): float(loss)
        for lr, losses in others.items()
        for seed, loss in enumerate(losses)
    }
    selected = FINAL.select(list(finals), finished(finals))
    assert {overrides[1] for overrides in selected} == {"optimizer.lr=0.3"}


@pytest.mark.parametrize("finals", [{0.1: (3, 1), 1.0: (2, 4)}, {0.1: (5, 5), 1.0: (2, 2)}])
def test_the_selected_learning_rate_is_the_one_that_the_report_rings(finished, finals):
    plan = finished(
        {
            job("sgd", lr, seed): float(loss)
            for lr, losses in finals.items()
            for seed, loss in enumerate(losses)
        }
    )
    jobs = [Job.planned(entry) for entry in plan.jobs.values()]
    ((selected,),) = [{each[1] for each in FINAL.select(jobs, plan)}]
    (task,) = answer_sweeps([read_sweep(plan.folder)]).tasks
    (curve,) = lr_curves(task.comparison.tuning)
    assert selected == f"optimizer.lr={curve.points[curve.best][0]}"


def test_runs_that_an_earlier_command_has_added_may_be_selected(finished):
    finals = {job("sgd", lr, 0): lr for lr in (0.1, 0.2)}
    plan = finished(finals)
    assert FINAL.select([job("sgd", 0.2, 0)], plan)[0][1] == "optimizer.lr=0.1"


def test_seeds_that_selected_the_settings_are_refused():
    with pytest.raises(ValueError, match=r"final_stage\.seeds: 10 "):
        FINAL.check([job("sgd", 0.1, 10)])


def test_a_key_that_the_sweep_does_not_set_is_refused():
    with pytest.raises(ValueError, match="select_best_per=scheduler"):
        FinalStage("scheduler", ("10",)).check([job("sgd", 0.1, 0)])


@pytest.mark.parametrize(
    ("seeds", "expected"), [("range(5,7)", ("5", "6")), ([7, 8], ("7", "8")), ("9", ("9",))]
)
def test_seeds_are_given_as_a_range_or_as_a_list(seeds, expected):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        config = {"select_best_per": "optimizer", "seeds": seeds}
        assert FinalStage.parse(config, loader) == FinalStage("optimizer", expected)
        assert FinalStage.parse(None, loader) is None
        with pytest.raises(ValueError, match="best_of"):
            FinalStage.parse({"best_of": "optimizer", "seeds": seeds}, loader)
