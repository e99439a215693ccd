import pytest
import torch

from stepsize.config.instantiate import allowing, instantiate, locate


@pytest.mark.parametrize(
    "target",
    [
        "builtins.open",
        "os.system",
        "subprocess.run",
        "torch.os.system",
        "torch.sys.exit",
        "torch.hub.os.remove",
    ],
)
def test_code_outside_the_allowed_packages_is_not_reached(target):
    with pytest.raises(ValueError, match=r"allowed package|not a class or function of"):
        locate(target)


def test_a_package_on_the_list_is_reached():
    with pytest.raises(ValueError, match=r"allowed_packages=\[collections\]"):
        locate("collections.OrderedDict")
    with allowing(["collections"]):
        assert locate("collections.OrderedDict")() == {}
    with pytest.raises(ValueError, match="allowed package"):
        locate("collections.OrderedDict")


def test_a_mistyped_class_names_the_nearest():
    with pytest.raises(ValueError, match=r"there is no Adamm in torch.optim; did you mean Adam"):
        locate("torch.optim.Adamm")


def test_a_package_that_is_not_installed_is_said_so():
    with allowing(["no_such_package"]), pytest.raises(ValueError, match="no no_such_package in"):
        locate("no_such_package.Thing")


def test_a_module_is_not_something_to_call():
    with pytest.raises(ValueError, match="not a class or function"):
        locate("torch.optim")


def test_a_nested_target_is_checked_before_anything_is_built():
    config = {"_target_": "torch.nn.Sequential", "_args_": [{"_target_": "os.getcwd"}]}
    with pytest.raises(ValueError, match=r"model.net._args_\[0\]._target_=os.getcwd"):
        instantiate(config, where="model.net")


def test_a_wrong_argument_names_the_key_and_what_is_allowed():
    config = {"_target_": "stepsize.nets.MLP", "widhts": [1, 2]}
    with pytest.raises(
        ValueError, match=r"model.net.widhts: MLP has no argument .*widths\?.*takes"
    ):
        instantiate(config, where="model.net")


def test_a_refused_value_is_one_line_with_its_place():
    config = {"_target_": "torch.nn.Linear", "in_features": "a", "out_features": 1}
    with pytest.raises(ValueError, match=r"^model.net: torch.nn.Linear: [^\n]+$"):
        instantiate(config, where="model.net")


def test_lists_arrive_as_plain_lists():
    config = {"_target_": "stepsize.nets.MLP", "widths": [1, 3, 1]}
    net = instantiate(config)
    assert sum(p.numel() for p in net.parameters()) == 10
    assert isinstance(net, torch.nn.Module)
