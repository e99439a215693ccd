"""The launcher is called several times by a sweeper with batches, such as Optuna's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from pathlib import Path
from typing import Any

import pytest
from conftest import CONF
from hydra import compose, initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn
from hydra.errors import CompactHydraException
from hydra.types import HydraContext

from hydra_plugins.stepsize_vectorized_launcher import Vectorized
from stepsize.main import run_job
from stepsize.vectorized import launcher

FIXED = ("task=line", "trainer.max_steps=5", "trainer.accelerator=cpu", "plots=false")
Launch = Callable[..., Sequence[JobReturn]]


@pytest.fixture
def launch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Launch:
    """``launch(overrides, ...)`` by one launcher; a list of overrides is a job's."""
    monkeypatch.setattr(HydraConfig.instance(), "cfg", None)
    made: list[Vectorized] = []
    count = 0

    def launch(*jobs: Sequence[str]) -> Sequence[JobReturn]:
        nonlocal count
        with initialize_config_dir(str(CONF), version_base="1.3"):
            overrides = [f"hydra.sweep.dir={tmp_path}"]
            cfg = compose("train", overrides=overrides, return_hydra_config=True)
            if not made:
                made.append(Vectorized(processes=2))
            context = HydraContext(GlobalHydra.instance().config_loader(), Callbacks())
            made[0].setup(hydra_context=context, task_function=run_job, config=cfg)
            count += len(jobs)
            return made[0].launch([[*FIXED, *overrides] for overrides in jobs], count - len(jobs))

    return launch


def test_the_same_overrides_twice_in_a_batch_are_one_run(launch: Launch, tmp_path: Path) -> None:
    first, again, other = launch(["optimizer=sgd"], ["optimizer=sgd"], ["optimizer=adam"])
    assert first.return_value == again.return_value != other.return_value
    assert len(list(tmp_path.glob("*/events.out.tfevents.*"))) == 2


def test_a_process_that_has_trained_is_not_forked(
    launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*args: Any) -> Any:
        raise AssertionError("forked")

    launch(["seed=0"])
    monkeypatch.setattr(launcher, "fork_map", forbidden)
    returns = launch(*([f"seed={seed}"] for seed in range(1, 13)))
    assert len({done.return_value for done in returns}) == 12


def test_a_missing_value_is_a_failed_run_and_stops_no_other(launch: Launch) -> None:
    for _ in range(2):
        values = [
            done.return_value for done in launch(["optimizer.lr='???'"], ["optimizer.lr=0.1"])
        ]
        assert values[0] == inf != values[1]


def test_the_objective_of_another_configuration_is_not_returned(
    launch: Launch, tmp_path: Path
) -> None:
    launch([])
    (file,) = tmp_path.glob("*/.hydra/config.yaml")
    file.write_text(file.read_text("utf-8").replace("\nseed: 0", "\nseed: 1"), "utf-8")
    with pytest.raises(CompactHydraException, match="seed was 1, is 0; give overwrite=true"):
        launch([])
    assert launch(["overwrite=true"])[0].return_value < inf


def test_fail_fast_returns_the_failure(launch: Launch) -> None:
    (done,) = launch(["optimizer.lr=-1", "fail_fast=true"])
    with pytest.raises(CompactHydraException, match="Invalid learning rate"):
        _ = done.return_value
