"""conf/optimizer holds torch's own optimizers, whole: every class, every option, every default."""

from __future__ import annotations

import inspect
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

FOLDER = Path(__file__).parents[3] / "conf" / "optimizer"
FILES = sorted(FOLDER.glob("*.yaml"))
CLASSES = {
    f"torch.optim.{name}": value
    for name, value in vars(torch.optim).items()
    if inspect.isclass(value)
    and issubclass(value, torch.optim.Optimizer)
    and value is not torch.optim.Optimizer
}
# How a step is computed, not what it does; set with +optimizer.fused=true.
IMPLEMENTATION_KNOBS = {"foreach", "fused", "capturable", "differentiable"}


def load(path: Path) -> dict[str, Any]:
    return cast("dict[str, Any]", OmegaConf.to_container(OmegaConf.load(path)))


def chain(config: dict[str, Any] | None, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The file's optimizer, then the one under ``other_params``, and the one under that."""
    while config:
        own = {key: value for key, value in config.items() if key not in ("params", "other_params")}
        yield where, own
        config, where = config.get("other_params"), f"{where}.other_params"


def comparable(value: Any) -> Any:
    """A form in which (0.9, 0.999) equals [0.9, 0.999] and 1 equals 1.0, but False is not 0."""
    if isinstance(value, tuple | list):
        return [comparable(item) for item in value]
    return (isinstance(value, bool), value)


OF_TORCH = [
    pytest.param(config, id=where)
    for path in FILES
    for where, config in chain(load(path), path.stem)
    if config["_target_"] in CLASSES
]


def torch_defaults(target: str) -> dict[str, Any]:
    first, *options = inspect.signature(CLASSES[target]).parameters.values()
    assert first.name == "params"
    return {p.name: p.default for p in options if p.name not in IMPLEMENTATION_KNOBS}


@pytest.mark.parametrize("target", CLASSES)
def test_every_class_of_torch_optim_has_a_file_of_its_name(target: str) -> None:
    name = target.rpartition(".")[2].lower()
    files = [path for path in FILES if path.stem.replace("_", "") == name]
    assert [load(path)["_target_"] for path in files] == [target]


@pytest.mark.parametrize("config", OF_TORCH)
def test_a_file_writes_out_every_option_and_no_other(config: dict[str, Any]) -> None:
    assert config.keys() - {"_target_"} == torch_defaults(config["_target_"]).keys()


@pytest.mark.parametrize("config", OF_TORCH)
def test_a_files_values_are_torchs_defaults(config: dict[str, Any]) -> None:
    for option, default in torch_defaults(config["_target_"]).items():
        if default is inspect.Parameter.empty:
            assert option == "lr", f"torch requires {option}, and this test knows of no good value"
            assert config[option] > 0
        else:
            assert comparable(config[option]) == comparable(default), option


@pytest.mark.parametrize("config", OF_TORCH)
def test_a_files_learning_rate_is_a_float(config: dict[str, Any]) -> None:
    assert isinstance(config["lr"], float), "torch's Adafactor takes no integer"


@pytest.mark.parametrize("config", OF_TORCH)
def test_torch_takes_a_files_values(config: dict[str, Any]) -> None:
    options = {key: value for key, value in config.items() if key != "_target_"}
    CLASSES[config["_target_"]]([nn.Parameter(torch.ones(2, 2))], **options)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_begins_with_its_path_and_a_command_that_selects_it(path: Path) -> None:
    first = path.read_text().splitlines()[0]
    found = re.fullmatch(rf"# conf/optimizer/{path.name} -- python train\.py (.+)", first)
    assert found, first
    assert f"optimizer={path.stem}" in shlex.split(found[1])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_command_of_a_file_sets_options_that_the_file_has(path: Path) -> None:
    for word in shlex.split(path.read_text().splitlines()[0]):
        group, *keys = word.partition("=")[0].split(".")
        node = load(path)
        for key in keys if group == "optimizer" else ():
            assert key in node, word
            node = node[key]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_params_and_other_params_are_given_together(path: Path) -> None:
    config: dict[str, Any] | None = load(path)
    while config:
        assert ("params" in config) == ("other_params" in config)
        config = config.get("other_params")


def muon_takes(name: str) -> bool:
    return re.search(load(FOLDER / "muon.yaml")["params"][0]["match"], name) is not None


@pytest.mark.parametrize(
    "name",
    [
        "net.layer1.linear.weight",
        "net.blocks.0.attn.heads.weight",
        "net.h.3.mlp.c_fc.weight",
        "net.encoder.attention.output.dense.weight",
    ],
)
def test_muon_takes_the_matrices_of_hidden_layers(name: str) -> None:
    assert muon_takes(name)


@pytest.mark.parametrize(
    "name",
    [
        "net.fc.weight",
        "fc.weight",
        "net.lm_head.weight",
        "net.head.weight",
        "net.classifier.1.weight",
        "net.embedding.weight",
        "net.tok_embeddings.weight",
        "net.pos_embed",
        "net.transformer.wte.weight",
    ],
)
def test_muon_leaves_embeddings_and_output_layers_to_the_rest(name: str) -> None:
    assert not muon_takes(name)
