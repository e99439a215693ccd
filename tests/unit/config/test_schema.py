"""The typed top level of the configuration."""

import pytest
import yaml
from conftest import CONF, composed
from hydra.errors import HydraException
from omegaconf import OmegaConf

from stepsize.config.resolve import plain
from stepsize.config.schema import Mode, TrainConfig, check_plots, whole_number


def test_the_schema_and_the_file_have_the_same_keys_and_defaults():
    schema = plain(OmegaConf.structured(TrainConfig), resolve=False)
    file = yaml.safe_load((CONF / "train.yaml").read_text())
    assert {key: file[key] for key in file if key not in ("defaults", "hydra")} == schema


@pytest.mark.parametrize(
    ("override", "allowed"),
    [("mode=big", "[min, max]"), ("resume=some", "[full, weights, override_lr]")],
)
def test_an_unknown_choice_is_refused_with_the_allowed_ones(tmp_path, override, allowed):
    with pytest.raises(HydraException, match=override) as raised:
        composed(override, folder=tmp_path)
    assert allowed in str(raised.value.__cause__)


@pytest.mark.parametrize("override", ["seed=1.5", "seed=null", "plots=[1]", "target.metrik=a"])
def test_a_value_of_another_type_is_refused(tmp_path, override):
    with pytest.raises(HydraException):
        composed("task=line", override, folder=tmp_path)


@pytest.mark.parametrize(("text", "value"), [("auto", "auto"), ("true", True), ("false", False)])
def test_plots_are_auto_or_true_or_false(tmp_path, text, value):
    plots = composed(f"plots={text}", folder=tmp_path).plots
    check_plots(plots)
    assert plots == value


@pytest.mark.parametrize("value", ["maybe", "True", 1, None])
def test_another_value_of_plots_is_refused_with_the_allowed_ones(value):
    with pytest.raises(ValueError, match=f"plots={value}: give auto, true or false"):
        check_plots(value)


def test_a_value_of_ones_own_may_be_added(tmp_path):
    assert composed("+width=3", folder=tmp_path).width == 3


def test_choices_are_text_in_plain_containers(tmp_path):
    cfg = composed("mode=max", folder=tmp_path)
    assert cfg.mode is Mode.max
    assert plain(cfg, resolve=False)["mode"] == "max"


@pytest.mark.parametrize("value", [0, -1, 1.0, True, "1", None])
def test_a_whole_number_from_1_up_is_nothing_else(value):
    with pytest.raises(ValueError, match=f"data.points={value!r}: give a whole number from 1 up"):
        whole_number("data.points", value, least=1)
