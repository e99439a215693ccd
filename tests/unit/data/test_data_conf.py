"""Every file in conf/data, a new one too."""

import inspect
from pathlib import Path
from typing import get_origin

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf

from stepsize import data
from stepsize.data import InMemoryData

CONF = Path(__file__).resolve().parents[3] / "conf"
FILES = sorted((CONF / "data").glob("*.yaml"))
NEEDED = {"dim": 4}  # values that a file takes from the model


def _config(path, **changes):
    file = OmegaConf.to_container(OmegaConf.load(path))
    cfg = OmegaConf.create({"seed": 3, "model": {"net": NEEDED}, "data": {**file, **changes}})
    return OmegaConf.to_container(cfg, resolve=True)["data"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_file_begins_with_its_name_and_a_command(path):
    first = path.read_text("utf-8").splitlines()[0]
    assert first.startswith(f"# conf/data/{path.name} -- python train.py ")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_file_writes_out_every_argument_and_no_other(path):
    config = _config(path)
    target = get_class(config.pop("_target_"))
    assert list(config) == list(inspect.signature(target).parameters)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_file_says_the_class_s_own_defaults(path):
    config = _config(path)
    for name, parameter in inspect.signature(get_class(config["_target_"])).parameters.items():
        if parameter.default is not parameter.empty and name not in ("shuffle_seed", "image"):
            assert config[name] == parameter.default


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_run_s_seed_decides_the_order_alone(path):
    assert _config(path)["shuffle_seed"] == 3
    made = [instantiate(_config(path, shuffle_seed=seed)) for seed in (0, 1)]
    assert made[0].fingerprint() == made[1].fingerprint()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_data_set_gives_batches_of_its_own_shapes_without_a_trainer(path):
    made = instantiate(_config(path))
    stream = made.train_dataloader()
    batches = list(stream)
    assert len(batches) == len(stream)
    assert all(len(batch) == len(made.train) for batch in batches)
    assert isinstance(made, InMemoryData)


def test_every_data_set_of_the_package_has_a_file():
    targets = {OmegaConf.load(path)._target_ for path in FILES}
    sets = [
        name
        for name in data.__all__
        # On Python 3.10 `tuple[Tensor, ...]` passes for a class, until issubclass looks at it.
        if get_origin(made := getattr(data, name)) is None
        and inspect.isclass(made)
        and issubclass(made, InMemoryData)
        and not inspect.isabstract(made)
    ]
    assert targets >= {f"stepsize.data.{name}" for name in sets}


@pytest.mark.parametrize("path", sorted((CONF / "task").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_task_s_data_can_be_made(path):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", overrides=[f"task={path.stem}"])
    assert instantiate(OmegaConf.to_container(cfg.data, resolve=True)).train
