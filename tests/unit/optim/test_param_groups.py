"""Rules make parameter groups: who takes what, in which order, with which options."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from hydra import compose, initialize_config_dir
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from torch import nn

from stepsize.optim.param_groups import ParamGroup, Selector, group_parameters

CONF = Path(__file__).parents[3] / "conf"
FILES = sorted((CONF / "param_groups").glob("*.yaml"))
ADAMW = ("lr", "betas", "eps", "weight_decay", "amsgrad", "maximize")


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(2, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(2)


class SmallResNet(nn.Module):
    """torchvision's names with a minimum of weights."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(2)
        self.layer1 = nn.Sequential(Block())
        self.layer4 = nn.Sequential(Block(), Block())
        self.fc = nn.Linear(2, 10)


@pytest.fixture
def model() -> nn.Module:
    return nn.ModuleDict({"net": SmallResNet()})


def groups_of(model: nn.Module, rules: Any, **kwargs: Any) -> dict[str, ParamGroup]:
    return {g.name: g for g in group_parameters(model.named_parameters(), rules, **kwargs)}


def names(group: ParamGroup) -> list[str]:
    return [name for name, _ in group.parameters]


def error(model: nn.Module, rules: Any, options: Any = ADAMW) -> str:
    with pytest.raises(ValueError, match="param_groups") as caught:
        group_parameters(model.named_parameters(), rules, options=options)
    message = str(caught.value)
    assert "\n" not in message
    return message


# Who takes what


@pytest.mark.parametrize("rules", [None, {}])
def test_without_rules_all_parameters_form_the_group_default(model: nn.Module, rules: Any) -> None:
    (group,) = group_parameters(model.named_parameters(), rules)
    assert group.name == "default"
    assert names(group) == [name for name, _ in model.named_parameters()]
    assert group.options == {}
    assert group.lr_scale == 1.0
    assert not group.frozen


def test_first_matching_rule_takes_the_parameter(model: nn.Module) -> None:
    groups = groups_of(model, {"vectors": {"ndim": 1}, "head": {"match": "fc"}})
    assert "net.fc.bias" in names(groups["vectors"])
    assert names(groups["head"]) == ["net.fc.weight"]


def test_what_no_rule_takes_forms_default_at_the_end(model: nn.Module) -> None:
    groups = groups_of(model, {"head": {"match": r"\.fc\."}, "stem": {"match": r"^net\.conv1"}})
    assert list(groups) == ["head", "stem", "default"]
    assert "net.bn1.weight" in names(groups["default"])


def test_default_is_absent_when_the_rules_take_everything(model: nn.Module) -> None:
    assert list(groups_of(model, {"all": {"match": ""}})) == ["all"]


def test_a_group_keeps_the_models_order(model: nn.Module) -> None:
    group = groups_of(model, {"some": {"match": "fc|conv1|layer4"}})["some"]
    wanted = [n for n, _ in model.named_parameters() if re.search("fc|conv1|layer4", n)]
    assert names(group) == wanted


def test_match_is_searched_in_the_full_name(model: nn.Module) -> None:
    group = groups_of(model, {"one": {"match": r"^net\.layer4\.0\.conv1\.weight$"}})["one"]
    assert names(group) == ["net.layer4.0.conv1.weight"]


@pytest.mark.parametrize(("ndim", "wanted"), [(2, {2}), ([1, 4], {1, 4}), ((0, 2), {2})])
def test_ndim_takes_one_number_of_dimensions_or_a_list(
    model: nn.Module, ndim: Any, wanted: set[int]
) -> None:
    group = groups_of(model, {"some": {"ndim": ndim}})["some"]
    dims = [p.ndim for p in model.parameters() if p.ndim in wanted]
    assert [p.ndim for _, p in group.parameters] == dims


def test_ndim_zero_takes_scalars() -> None:
    model = nn.ParameterDict({"scale": nn.Parameter(torch.tensor(1.0))})
    assert names(groups_of(model, {"scalars": {"ndim": 0}})["scalars"]) == ["scale"]


def test_match_and_ndim_must_both_hold(model: nn.Module) -> None:
    groups = groups_of(model, {"head": {"match": "fc", "ndim": 2}})
    assert names(groups["head"]) == ["net.fc.weight"]


def test_parameters_without_gradients_take_no_part(model: nn.Module) -> None:
    model.get_parameter("net.fc.bias").requires_grad_(False)
    groups = groups_of(model, {"head": {"match": "fc"}})
    assert names(groups["head"]) == ["net.fc.weight"]
    assert "net.fc.bias" not in names(groups["default"])


def test_a_rule_of_none_is_switched_off(model: nn.Module) -> None:
    assert list(groups_of(model, {"head": None, "stem": {"match": "conv1"}})) == ["stem", "default"]


# Groups of captured values


def test_a_capture_makes_one_group_per_value_in_the_models_order(model: nn.Module) -> None:
    groups = groups_of(model, {"layers": {"match": r"^net\.(\w+)\."}})
    assert list(groups) == [f"layers/{n}" for n in ("conv1", "bn1", "layer1", "layer4", "fc")]
    assert names(groups["layers/fc"]) == ["net.fc.weight", "net.fc.bias"]


def test_several_captures_are_joined_by_a_dot(model: nn.Module) -> None:
    groups = groups_of(model, {"blocks": {"match": r"(layer\d)\.(\d)"}})
    assert list(groups) == ["blocks/layer1.0", "blocks/layer4.0", "blocks/layer4.1", "default"]


def test_a_capture_that_takes_no_part_is_left_out_of_the_name(model: nn.Module) -> None:
    groups = groups_of(model, {"ends": {"match": r"^net\.(?:(fc)|(conv1)|bn1)\."}})
    assert list(groups) == ["ends/conv1", "ends", "ends/fc", "default"]


def test_lr_decay_multiplies_from_the_last_captured_layer_backwards(model: nn.Module) -> None:
    groups = groups_of(model, {"layers": {"match": r"^net\.(\w+)\.", "lr_decay": 0.5}})
    assert [group.lr_scale for group in groups.values()] == [0.0625, 0.125, 0.25, 0.5, 1.0]


def test_lr_decay_counts_only_the_layers_that_the_rule_took(model: nn.Module) -> None:
    rules = {"vectors": {"ndim": 1}, "layers": {"match": r"^net\.(\w+)\.", "lr_decay": 0.5}}
    groups = groups_of(model, rules)
    assert {name: group.lr_scale for name, group in groups.items()} == {
        "vectors": 1.0,
        "layers/conv1": 0.125,
        "layers/layer1": 0.25,
        "layers/layer4": 0.5,
        "layers/fc": 1.0,
    }


def test_lr_decay_combines_with_lr_scale(model: nn.Module) -> None:
    rule = {"match": r"(layer\d)", "lr_decay": 0.5, "lr_scale": 0.1}
    groups = groups_of(model, {"layers": rule})
    assert groups["layers/layer4"].lr_scale == pytest.approx(0.1)
    assert groups["layers/layer1"].lr_scale == pytest.approx(0.05)
    assert groups["default"].lr_scale == 1.0


# Options


def test_other_keys_are_the_optimizers_options(model: nn.Module) -> None:
    rule = {"match": "fc", "lr": 0.1, "betas": [0.8, 0.9], "weight_decay": 0}
    group = groups_of(model, {"head": rule}, options=ADAMW)["head"]
    assert group.options == {"lr": 0.1, "betas": [0.8, 0.9], "weight_decay": 0}


def test_without_a_list_of_options_any_is_taken(model: nn.Module) -> None:
    assert groups_of(model, {"head": {"match": "fc", "rank": 4}})["head"].options == {"rank": 4}


def test_learning_rates_become_floats(model: nn.Module) -> None:
    group = groups_of(model, {"head": {"match": "fc", "lr": 1}})["head"]
    assert isinstance(group.options["lr"], float)


@pytest.mark.parametrize("key", ["lr", "lr_scale", "lr_decay", "freeze", "ndim"])
def test_null_switches_a_key_of_a_rule_off(model: nn.Module, key: str) -> None:
    group = groups_of(model, {"head": {"match": "fc", key: None}})["head"]
    assert (group.options, group.lr_scale, group.frozen) == ({}, 1.0, False)


def test_null_stays_the_value_of_an_option_of_the_optimizer(model: nn.Module) -> None:
    group = groups_of(model, {"head": {"match": "fc", "adjust_lr_fn": None}})["head"]
    assert group.options == {"adjust_lr_fn": None}


def test_captured_groups_do_not_share_their_options(model: nn.Module) -> None:
    groups = groups_of(model, {"layers": {"match": r"(layer\d)", "lr": 0.1}})
    groups["layers/layer1"].options["lr"] = 0.2
    assert groups["layers/layer4"].options == {"lr": 0.1}


def test_freeze_marks_the_group_and_leaves_the_parameters_alone(model: nn.Module) -> None:
    groups = groups_of(model, {"body": {"match": r"(layer\d)", "freeze": True}})
    assert [group.frozen for group in groups.values()] == [True, True, False]
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_rules_are_left_as_they_were(model: nn.Module) -> None:
    rules = {"layers": {"match": r"^net\.(\w+)\.", "lr_decay": 0.5, "weight_decay": None}}
    before = {name: dict(rule) for name, rule in rules.items()}
    group_parameters(model.named_parameters(), rules)
    assert rules == before


# Errors


def test_a_rule_that_matches_nothing_lists_the_names(model: nn.Module) -> None:
    message = error(model, {"head": {"match": "classifier"}})
    assert "param_groups.head" in message
    assert "matches none of the 14 trainable parameters" in message
    assert "net.conv1.weight" in message
    assert "net.fc.bias" in message
    assert "... and 2 more ..." in message


def test_a_short_list_of_names_is_whole() -> None:
    message = error(nn.Linear(2, 2), {"head": {"match": "fc"}})
    assert message.endswith("2 trainable parameters: weight, bias")


def test_a_rule_by_dimensions_that_matches_nothing_lists_dimensions(model: nn.Module) -> None:
    assert "net.fc.weight (2-D)" in error(model, {"cubes": {"ndim": 3}})


def test_a_rule_whose_parameters_were_taken_names_the_earlier_rule(model: nn.Module) -> None:
    rules = {"other": {"match": "conv1"}, "vectors": {"ndim": 1}, "bias": {"match": "fc.bias"}}
    message = error(model, rules)
    assert "param_groups.bias" in message
    assert "belongs to the earlier 'vectors'" in message
    assert "other" not in message
    assert "matches none" not in message


def test_a_rule_for_parameters_without_gradients_says_so(model: nn.Module) -> None:
    model.get_submodule("net.fc").requires_grad_(False)
    message = error(model, {"head": {"match": "fc"}})
    assert "require no gradient: net.fc.weight, net.fc.bias" in message


def test_an_unknown_option_names_close_and_allowed_ones(model: nn.Module) -> None:
    message = error(model, {"head": {"match": "fc", "wieght_decay": 0.1}})
    assert "param_groups.head: unknown option 'wieght_decay'" in message
    assert "(did you mean weight_decay or lr_decay?)" in message
    assert "allowed are match, ndim, lr_scale, lr_decay, freeze and" in message
    assert all(option in message for option in ADAMW)


def test_a_misspelt_key_of_ours_is_recognised(model: nn.Module) -> None:
    assert "(did you mean lr_scale?)" in error(model, {"head": {"match": "fc", "lrscale": 0.1}})


@pytest.mark.parametrize("key", ["params", "param_names", "name"])
def test_a_rule_cannot_set_what_torch_keeps_in_a_group(model: nn.Module, key: str) -> None:
    message = error(model, {"head": {"match": "fc", key: "x"}}, options=None)
    assert f"unknown option '{key}'" in message


def test_a_rule_cannot_be_called_default(model: nn.Module) -> None:
    assert "param_groups.default" in error(model, {"default": {"match": "fc"}})


@pytest.mark.parametrize(
    "rules",
    [
        {"layers": {"match": "(fc)"}, "layers/fc": {"match": "conv1"}},
        {1: {"match": "fc"}, "1": {"match": "conv1"}},
    ],
)
def test_two_groups_of_one_name_are_refused(model: nn.Module, rules: Any) -> None:
    assert "a second group would be called" in error(model, rules)


def test_captures_that_join_to_one_name_are_refused() -> None:
    model = nn.ParameterDict({"a_b": nn.Parameter(torch.ones(1))})
    model["a"] = nn.Parameter(torch.ones(1))
    parameters = [("a.b-c", model["a"]), ("a-b.c", model["a_b"])]
    with pytest.raises(ValueError, match=r"param_groups\.r: .*'r/a\.b\.c'"):
        group_parameters(parameters, {"r": {"match": "(.*)-(.*)"}})


def test_a_bad_expression_shows_what_re_says(model: nn.Module) -> None:
    message = error(model, {"head": {"match": "(fc"}})
    assert "param_groups.head: bad expression '(fc': missing ), unterminated subpattern" in message


@pytest.mark.parametrize("rule", [{}, {"lr": 0.1}, {"match": None, "ndim": None}])
def test_a_rule_without_match_and_ndim_is_refused(model: nn.Module, rule: Any) -> None:
    assert "give match" in error(model, {"head": rule})


@pytest.mark.parametrize("ndim", ["2", -1, 1.5, True, [], [1, "2"], {"a": 1}])
def test_a_wrong_ndim_is_refused(model: nn.Module, ndim: Any) -> None:
    assert "ndim must be an integer >= 0 or a list" in error(model, {"head": {"ndim": ndim}})


@pytest.mark.parametrize("match", [3, True, ["fc"]])
def test_a_wrong_match_is_refused(model: nn.Module, match: Any) -> None:
    assert "match must be text" in error(model, {"head": {"match": match}})


@pytest.mark.parametrize("rule", ["fc", 0.1, ["fc"], True])
def test_a_rule_that_is_no_mapping_is_refused(model: nn.Module, rule: Any) -> None:
    assert "is no rule" in error(model, {"head": rule})


def test_rules_that_are_no_mapping_are_refused(model: nn.Module) -> None:
    assert "names of groups to rules" in error(model, [{"match": "fc"}])


@pytest.mark.parametrize("key", ["lr_scale", "lr_decay"])
def test_absolute_and_relative_learning_rates_exclude_each_other(
    model: nn.Module, key: str
) -> None:
    message = error(model, {"head": {"match": "(fc)", "lr": 0.1, key: 0.5}})
    assert f"param_groups.head: lr is absolute, {key} relative" in message


@pytest.mark.parametrize("where", [{"match": "fc"}, {"match": "(?:fc)"}, {"ndim": 1}])
def test_lr_decay_needs_a_capture(model: nn.Module, where: Any) -> None:
    assert "needs a match that captures" in error(model, {"head": {**where, "lr_decay": 0.5}})


@pytest.mark.parametrize("key", ["lr", "lr_scale", "lr_decay"])
@pytest.mark.parametrize("value", [0, -1.0, "0.1", True, float("nan"), float("inf")])
def test_a_learning_rate_is_a_positive_number(model: nn.Module, key: str, value: Any) -> None:
    message = error(model, {"head": {"match": "(fc)", key: value}})
    assert f"param_groups.head: {key} must be a positive number, not {value!r}" in message


def test_a_learning_rate_of_zero_points_to_freeze(model: nn.Module) -> None:
    assert "write freeze: true" in error(model, {"head": {"match": "fc", "lr_scale": 0}})


@pytest.mark.parametrize("other", [{"lr": 0.1}, {"lr_scale": 0.1}, {"weight_decay": 0.0}])
def test_freeze_excludes_other_options(model: nn.Module, other: dict[str, float]) -> None:
    message = error(model, {"body": {"match": "conv", "freeze": True, **other}})
    assert f"param_groups.body: freeze: true leaves {next(iter(other))} without effect" in message


def test_freeze_is_true_or_false(model: nn.Module) -> None:
    assert "freeze must be true or false" in error(model, {"b": {"match": "fc", "freeze": 1}})


def test_one_parameter_under_two_names_is_refused(model: nn.Module) -> None:
    model.add_module("copy", model.get_submodule("net.fc"))
    twice = list(model.named_parameters(remove_duplicate=False))
    with pytest.raises(ValueError, match=r"'net\.fc\.weight' and 'copy\.weight' are one parameter"):
        group_parameters(twice, None)


def test_tied_weights_take_part_once(model: nn.Module) -> None:
    model.add_module("copy", model.get_submodule("net.fc"))
    (group,) = group_parameters(model.named_parameters(), None)
    assert names(group).count("net.fc.weight") == 1
    assert "copy.weight" not in names(group)


def test_a_model_without_trainable_parameters_is_refused(model: nn.Module) -> None:
    assert "14 parameters and none of them requires" in error(model.requires_grad_(False), None)


# Every trainable parameter is in exactly one group

WORDS = st.sampled_from(["conv1", "bn1", "fc", "layer", "a", "b"])
CAPTURES = st.sampled_from([r"^(\w+)\.", r"(\w+)\.(\w+)", r"(fc)|(bn1)|a", "(a*)"])
EXPRESSIONS = st.one_of(
    WORDS,
    st.tuples(WORDS, WORDS).map("|".join),
    CAPTURES,
    st.sampled_from(["weight$", "", "(fc"]),
)
RULES = st.dictionaries(
    st.sampled_from(["first", "second", "third", "fourth", "second/fc"]),
    st.one_of(
        st.none(),
        st.fixed_dictionaries({"match": EXPRESSIONS}),
        st.fixed_dictionaries({"match": CAPTURES}, optional={"lr_decay": st.floats(0.1, 2)}),
        st.fixed_dictionaries({"ndim": st.lists(st.integers(0, 3), min_size=1)}),
        st.fixed_dictionaries(
            {"match": EXPRESSIONS},
            optional={
                "ndim": st.integers(0, 3),
                "lr_scale": st.floats(0, 10),
                "weight_decay": st.just(0.0),
                "freeze": st.booleans(),
            },
        ),
    ),
    min_size=1,
    max_size=3,
)


@st.composite
def models(draw: st.DrawFn) -> nn.Module:
    """Two levels of modules, parameters of 0 to 3 dimensions, some frozen, some tied."""
    model = nn.Module()
    drawn: list[nn.Parameter] = []
    paths = st.tuples(WORDS, WORDS, st.sampled_from(["weight", "bias", "fc"]))
    for outer, inner, leaf in draw(st.lists(paths, min_size=6, max_size=12, unique=True)):
        for path, parent in ((outer, model), (f"{outer}.{inner}", None)):
            parent = parent or model.get_submodule(outer)
            child = path.rpartition(".")[2]
            if child not in parent._modules:
                parent.add_module(child, nn.Module())
        if drawn and draw(st.integers(0, 9)) == 0:
            parameter = draw(st.sampled_from(drawn))
        else:
            shape = [1] * draw(st.integers(0, 3))
            parameter = nn.Parameter(torch.zeros(shape), draw(st.integers(0, 4)) > 0)
        drawn.append(parameter)
        model.get_submodule(f"{outer}.{inner}").register_parameter(leaf, parameter)
    return model


def first_rule(
    rules: Mapping[str, Mapping[str, Any] | None], name: str, parameter: nn.Parameter
) -> str:
    for rule, config in rules.items():
        if config is None:
            continue
        ndim = config.get("ndim", parameter.ndim)
        dims = ndim if isinstance(ndim, list) else [ndim]
        if re.search(config.get("match", ""), name) and parameter.ndim in dims:
            return rule
    return "default"


@settings(max_examples=300, deadline=None, database=None)
@given(model=models(), rules=RULES)
def test_every_trainable_parameter_is_in_exactly_one_group_or_the_rules_are_refused(
    model: nn.Module, rules: dict[str, Any]
) -> None:
    trainable = {n: p for n, p in model.named_parameters() if p.requires_grad}
    try:
        groups = group_parameters(model.named_parameters(), rules, options=ADAMW)
    except ValueError as refused:
        assert "\n" not in str(refused)  # noqa: PT017
        return
    placed = [name for group in groups for name in names(group)]
    assert sorted(placed) == sorted(trainable)
    assert {id(p) for g in groups for _, p in g.parameters} == {id(p) for p in trainable.values()}
    assert len({group.name for group in groups}) == len(groups)
    order = list(trainable)
    for group in groups:
        assert group.parameters
        assert names(group) == sorted(names(group), key=order.index)
        for name, parameter in group.parameters:
            rule = first_rule(rules, name, parameter)
            assert group.name == rule or group.name.startswith(f"{rule}/")


# What composite optimizers use too


def test_a_selector_reads_match_and_ndim() -> None:
    selector = Selector.from_config("optimizer.params", {"ndim": 2, "match": "^(?!.*fc)"})
    matrix = nn.Parameter(torch.ones(2, 2))
    assert selector.select("net.layer1.linear.weight", matrix) == ()
    assert selector.select("net.fc.weight", matrix) is None
    assert selector.select("net.layer1.linear.bias", nn.Parameter(torch.ones(2))) is None


def test_a_selectors_errors_begin_with_the_place() -> None:
    with pytest.raises(ValueError, match=r"^optimizer\.params: bad expression"):
        Selector.from_config("optimizer.params", {"match": "("})


# The files in conf/param_groups


def composed(tmp_path: Path, *overrides: str) -> dict[str, Any]:
    """What the command line makes of conf/param_groups."""
    (tmp_path / "main.yaml").write_text(
        f"defaults: [param_groups: none, _self_]\nhydra: {{searchpath: ['file://{CONF}']}}\n"
    )
    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        config = compose("main", list(overrides))
    rules = OmegaConf.to_container(config.param_groups)
    return cast("dict[str, Any]", rules)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_of_rules_fits_a_resnet(model: nn.Module, path: Path, tmp_path: Path) -> None:
    rules = composed(tmp_path, f"param_groups={path.stem}")
    groups = group_parameters(model.named_parameters(), rules, options=ADAMW)
    placed = [name for group in groups for name in names(group)]
    assert sorted(placed) == sorted(name for name, _ in model.named_parameters())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_of_rules_begins_with_its_path_and_a_command(path: Path) -> None:
    first = path.read_text().splitlines()[0]
    assert first.startswith(f"# conf/param_groups/{path.name} -- python train.py ")
    assert f"param_groups={path.stem}" in first.split()


def test_head_gives_the_output_layer_and_one_convolution_a_learning_rate(
    model: nn.Module, tmp_path: Path
) -> None:
    groups = groups_of(model, composed(tmp_path, "param_groups=head"))
    assert names(groups["head"]) == ["net.layer4.0.conv1.weight", "net.fc.weight", "net.fc.bias"]
    assert groups["head"].options == {"lr": 1e-2}
    assert groups["default"].options == {}


def test_no_decay_leaves_decay_to_matrices_and_kernels(model: nn.Module, tmp_path: Path) -> None:
    groups = groups_of(model, composed(tmp_path, "param_groups=no_decay"))
    assert groups["no_decay"].options == {"weight_decay": 0.0}
    assert {p.ndim for _, p in groups["no_decay"].parameters} == {1}
    assert {p.ndim for _, p in groups["default"].parameters} == {2, 4}


def test_layerwise_gives_every_layer_a_smaller_learning_rate_than_the_next(
    model: nn.Module, tmp_path: Path
) -> None:
    groups = groups_of(model, composed(tmp_path, "param_groups=layerwise"))
    scales = [group.lr_scale for group in groups.values()]
    assert scales == pytest.approx([0.8**4, 0.8**3, 0.8**2, 0.8, 1.0])


def test_freeze_backbone_trains_the_output_layer_alone(model: nn.Module, tmp_path: Path) -> None:
    groups = groups_of(model, composed(tmp_path, "param_groups=freeze_backbone"))
    trained = [name for group in groups.values() if not group.frozen for name in names(group)]
    assert trained == ["net.fc.weight", "net.fc.bias"]


def test_a_learning_rate_is_set_on_the_command_line(model: nn.Module, tmp_path: Path) -> None:
    rules = composed(tmp_path, "param_groups=head", "param_groups.head.lr=0.1")
    assert groups_of(model, rules)["head"].options == {"lr": 0.1}


def test_a_rule_is_switched_off_on_the_command_line(model: nn.Module, tmp_path: Path) -> None:
    rules = composed(tmp_path, "param_groups=head", "param_groups.head=null")
    assert list(groups_of(model, rules)) == ["default"]


def test_an_absolute_learning_rate_becomes_relative_on_the_command_line(
    model: nn.Module, tmp_path: Path
) -> None:
    change = ["param_groups.head.lr=null", "+param_groups.head.lr_scale=10"]
    group = groups_of(model, composed(tmp_path, "param_groups=head", *change))["head"]
    assert (group.options, group.lr_scale) == ({}, 10.0)


STEM = '+param_groups.stem={match: "conv1|bn1", lr_scale: 0.1}'


def test_a_rule_is_added_on_the_command_line(model: nn.Module, tmp_path: Path) -> None:
    groups = groups_of(model, composed(tmp_path, STEM))
    assert list(groups) == ["stem", "default"]
    assert groups["stem"].lr_scale == 0.1


def test_an_added_rule_takes_what_the_files_rules_left(model: nn.Module, tmp_path: Path) -> None:
    groups = groups_of(model, composed(tmp_path, "param_groups=head", STEM))
    assert "net.layer4.0.conv1.weight" in names(groups["head"])
    assert "net.layer4.1.conv1.weight" in names(groups["stem"])


def test_an_added_rule_wins_where_the_files_rule_is_narrowed(
    model: nn.Module, tmp_path: Path
) -> None:
    narrow = r"param_groups.head.match='^net\.fc\.'"
    groups = groups_of(model, composed(tmp_path, "param_groups=head", narrow, STEM))
    assert "net.layer4.0.conv1.weight" in names(groups["stem"])


def test_a_rule_is_put_first_by_adding_the_files_rule_again(
    model: nn.Module, tmp_path: Path
) -> None:
    rules = composed(
        tmp_path,
        "param_groups=layerwise",
        "~param_groups.layers",
        "+param_groups.norms={ndim: 1, weight_decay: 0.0}",
        r'+param_groups.layers={match: "^net\.(\w+)\.", lr_decay: 0.8}',
    )
    assert list(rules) == ["norms", "layers"]
    assert "net.fc.bias" in names(groups_of(model, rules)["norms"])
