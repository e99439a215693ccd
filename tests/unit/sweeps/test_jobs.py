"""The configurations of a sweep's jobs, composed without asking Hydra for each."""

import pytest
from conftest import CONF, names
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode

from stepsize.config.resolve import plain
from stepsize.sweeps.jobs import Composer, combinations, refuse_repeated


@pytest.fixture
def loader():
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield GlobalHydra.instance().config_loader()


@pytest.fixture
def composer(loader):
    return Composer(loader.load_configuration("train", [], run_mode=RunMode.MULTIRUN), loader)


OVERRIDES = [
    ["optimizer=sgd", "optimizer.lr=0.1", "seed=3"],
    ["optimizer=sgd", "optimizer.lr=0.2", "seed=4"],
    ["optimizer=adam", "optimizer.betas=[0.8,0.9]", "task=digits"],
    ["optimizer=adam", "optimizer.betas=[0.7,0.9]", "task=digits"],
    ["+optimizer.fused=true", "seed=1"],
    ["~callbacks.progress", "monitor='train/loss'", "trainer.max_steps=null"],
    ["scheduler=sequential", "scheduler.milestones=['10%']"],
]


def test_a_job_s_configuration_is_the_one_that_hydra_composes(composer, loader):
    for overrides in OVERRIDES:
        theirs = loader.load_configuration("train", list(overrides), run_mode=RunMode.RUN)
        container = plain(theirs, resolve=False)
        container.pop("hydra")
        assert composer.config(overrides) == container


def test_hydra_composes_once_for_all_values_of_a_key(composer, monkeypatch):
    loads = []
    load = composer._load
    monkeypatch.setattr(
        composer, "_load", lambda overrides: loads.append(overrides) or load(overrides)
    )
    jobs = [composer.job(["optimizer=sgd", f"seed={seed}"]) for seed in range(20)]
    assert [job.seed for job in jobs] == list(range(20))
    assert len(loads) == 1


def test_a_glob_stands_for_the_files_of_its_group(loader):
    combined = combinations(["optimizer=glob(*)", "seed=range(2)"], loader)
    assert combined == [
        [f"optimizer={n}", f"seed={s}"] for n in names("optimizer") for s in range(2)
    ]


def test_a_job_knows_what_it_is_about(composer):
    job = composer.job(["task=digits", "scheduler=cosine", "optimizer.lr=0.5"], "tune")
    assert (job.task, job.optimizer, job.scheduler, job.param_groups) == (
        "digits", "adam", "cosine", "none",
    )  # fmt: skip
    assert (job.seed, job.lr, job.stage) == (0, 0.5, "tune")


@pytest.mark.parametrize(
    "overrides",
    [
        ["+param_groups.a={lr: 1},{lr: 2}", "+param_groups.a={eps: 1},{eps: 2}"],
        ["optimizer.lr=0.1,0.2", "optimizer.lr=0.3"],
        ["optimizer=sgd", "optimizer=adam,lion"],
    ],
)
def test_a_key_that_is_swept_and_given_again_is_refused(overrides):
    with pytest.raises(ValueError, match=r"is given more than once: .* and .*; give all values"):
        refuse_repeated(overrides)


def test_a_key_that_is_given_again_with_one_value_replaces_the_first():
    refuse_repeated(["optimizer.lr=0.1", "optimizer.lr=0.3", "seed=0,1"])
