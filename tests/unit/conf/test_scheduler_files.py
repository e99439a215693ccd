"""conf/scheduler holds torch's own schedulers, whole: every class, every option, every default."""

from __future__ import annotations

import inspect
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from omegaconf import OmegaConf
from torch.optim import lr_scheduler, swa_utils

FOLDER = Path(__file__).parents[3] / "conf" / "scheduler"
FILES = sorted(FOLDER.glob("*.yaml"))
BASES = {lr_scheduler.LRScheduler, lr_scheduler._LRScheduler}
CLASSES = {
    f"{module.__name__}.{name}": value
    for module in (lr_scheduler, swa_utils)
    for name, value in vars(module).items()
    if inspect.isclass(value)
    and issubclass(value, lr_scheduler.LRScheduler)
    and value.__module__ == module.__name__
    and value not in BASES
}
LIGHTNING_KEYS = {"interval", "frequency", "monitor", "strict", "name"}
# Where the optimizer comes from, and where a resumed run does: not a choice of the file.
NOT_IN_FILES = {"optimizer", "last_epoch"}
# Files of combinations and of shapes of their own: their values are the point of the file.
PRESETS = {
    "none",
    "inverse_sqrt",
    "warmup_cosine",
    "warmup_linear",
    "warmup_stable_decay",
    "sequential",
    "chained",
}
SHARE = "torch's default counts steps, which fits one length of run only"
DIFFERENCES = {
    ("constant", "total_iters"): SHARE,
    ("linear", "total_iters"): SHARE,
    ("polynomial", "total_iters"): SHARE,
    ("swalr", "anneal_epochs"): SHARE,
    ("plateau", "patience"): SHARE,
    ("cyclic", "step_size_up"): SHARE,
    ("onecycle", "total_steps"): "one of total_steps and epochs is needed",
    ("cyclic", "cycle_momentum"): "fails with optimizers that have neither momentum nor betas",
    ("onecycle", "cycle_momentum"): "fails with optimizers that have neither momentum nor betas",
    ("plateau", "mode"): "follows the task's monitor",
    ("plateau", "eps"): "an absolute threshold stops groups with a small lr earlier than others",
}


def load(path: Path) -> dict[str, Any]:
    return cast("dict[str, Any]", OmegaConf.to_container(OmegaConf.load(path)) or {})


def schedulers(node: dict[str, Any], where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The file's scheduler, and those nested in it."""
    if node:
        yield where, node
    for index, part in enumerate(node.get("schedulers", [])):
        yield from schedulers(part, f"{where}[{index}]")


ALL = [
    pytest.param(config, id=where)
    for path in FILES
    for where, config in schedulers(load(path), path.stem)
]


def options(target: str) -> dict[str, Any]:
    parameters = inspect.signature(CLASSES[target]).parameters.values()
    return {p.name: p.default for p in parameters if p.name not in NOT_IN_FILES}


@pytest.mark.parametrize("target", CLASSES)
def test_every_class_of_torch_has_a_file(target: str) -> None:
    assert [path.stem for path in FILES if load(path).get("_target_") == target]


@pytest.mark.parametrize("config", ALL)
def test_a_file_writes_out_every_option_and_no_other(config: dict[str, Any]) -> None:
    given = config.keys() - {"_target_"} - LIGHTNING_KEYS
    assert given == options(config["_target_"]).keys()


@pytest.mark.parametrize("name", [path.stem for path in FILES if path.stem not in PRESETS])
def test_a_files_values_are_torchs_defaults(name: str) -> None:
    config = load(FOLDER / f"{name}.yaml")
    for option, default in options(config["_target_"]).items():
        if default is inspect.Parameter.empty:
            continue
        differs = config[option] != default
        assert differs == ((name, option) in DIFFERENCES), f"{option}: torch has {default}"


def test_every_difference_is_one_of_a_file() -> None:
    assert all(option in load(FOLDER / f"{name}.yaml") for name, option in DIFFERENCES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_says_what_it_is_stepped_in(path: Path) -> None:
    if path.stem != "none":
        assert load(path)["interval"] == ("epoch" if path.stem == "plateau" else "step")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_begins_with_its_path_and_a_command_that_selects_it(path: Path) -> None:
    first = path.read_text().splitlines()[0]
    found = re.fullmatch(rf"# conf/scheduler/{path.name} -- python train\.py (.+)", first)
    assert found, first
    assert f"scheduler={path.stem}" in shlex.split(found[1])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_command_of_a_file_sets_options_that_the_file_has(path: Path) -> None:
    for word in shlex.split(path.read_text().splitlines()[0]):
        group, *keys = word.partition("=")[0].split(".")
        if group == "scheduler" and keys:
            assert OmegaConf.select(OmegaConf.load(path), ".".join(keys)) is not None, word
