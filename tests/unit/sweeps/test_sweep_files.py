"""Every file in conf/sweep, a new one too."""

import pytest
from conftest import CONF, names
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import OmegaConf

from stepsize.sweeps.jobs import Composer, combinations


def composed(sweep, *words):
    loader = GlobalHydra.instance().config_loader()
    overrides = [f"sweep={sweep}", *words]
    return loader, loader.load_configuration("train", overrides, run_mode=RunMode.MULTIRUN)


@pytest.fixture(params=names("sweep"))
def sweep(request):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield request.param


def test_it_is_a_multirun_whose_jobs_can_be_composed(sweep):
    loader, config = composed(sweep)
    assert config.hydra.mode == RunMode.MULTIRUN
    params = [f"{key}={value}" for key, value in config.hydra.sweeper.params.items()]
    jobs = combinations([*params, f"sweep={sweep}"], loader)
    composer = Composer(config, loader)
    runs = {composer.job(overrides).run for overrides in jobs}
    assert len(runs) == len(jobs) > 1


def test_it_is_vectorized_unless_the_command_line_chooses_another_launcher(sweep):
    _, config = composed(sweep)
    assert config.hydra.runtime.choices["hydra/launcher"] == "vectorized"
    _, config = composed(sweep, "hydra/launcher=basic")
    assert config.hydra.launcher._target_.endswith("BasicLauncher")


def test_it_sets_no_option_of_an_optimizer_that_would_leak_into_another(sweep):
    file = OmegaConf.load(CONF / "sweep" / f"{sweep}.yaml")
    assert "optimizer" not in file
    options = [key for key in file.hydra.sweeper.params if key.startswith("optimizer.")]
    assert set(options) <= {"optimizer.lr"}  # every optimizer has one, swept alike for all


def test_it_has_enough_seeds_for_a_difference_at_five_percent(sweep):
    """The smallest two-sided sign-flip p is 2/2^n."""
    loader, config = composed(sweep)
    sweeper = config.hydra.sweeper
    seeds = sweeper.final_stage.seeds if sweeper.final_stage else sweeper.params.seed
    assert 2 / 2 ** len(combinations([f"seed={seeds}"], loader)) < 0.05
