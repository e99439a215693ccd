"""The final stage of a sweep: which settings it selects, and what it refuses."""

import json

import pytest
from conftest import CONF
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

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
    """The plan of a folder in which each of these jobs has ended: ``{job: objective}``."""

    def write(objectives, mode="min"):
        for each, objective in objectives.items():
            (tmp_path / each.run).mkdir()
            status = "diverged" if objective is None else "completed"
            result = {"status": status, "objective": objective, "mode": mode}
            (tmp_path / each.run / "result.json").write_text(json.dumps(result))
        return Plan(tmp_path)

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
