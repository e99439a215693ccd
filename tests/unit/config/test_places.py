from __future__ import annotations

import pytest

from stepsize.config.instantiate import allowing, instantiate


@pytest.mark.parametrize(
    ("where", "target", "wanted"),
    [
        ("model", "torch.hub.load", "a LightningModule"),
        ("model", "torch.nn.Linear", "a LightningModule"),
        ("data", "torch.load", "a LightningDataModule"),
        ("callbacks.mine", "torch.hub.list", "a Callback"),
        ("callbacks.mine", "pytorch_lightning.loggers.CSVLogger", "a Callback"),
        ("logger.mine", "pytorch_lightning.callbacks.Timer", "a Logger"),
        ("trainer", "stepsize.train.train", "a Trainer"),
        ("model.net", "torch.hub.load", "a network, metric"),
        ("model.net", "torch.serialization.load", "a network, metric"),
        ("model.net", "stepsize.report.report.write_report", "a network, metric"),
        ("data.parts[0]", "torch.utils.cpp_extension.load", "a network, metric"),
        ("optimizer.base", "torch.utils.model_zoo.load_url", "a network, metric"),
    ],
)
def test_a_class_or_function_is_refused_where_it_does_not_belong(where, target, wanted):
    with pytest.raises(
        ValueError, match=rf"^{where}._target_={target} is not {wanted}".replace("[", r"\[")
    ):
        instantiate({"_target_": target}, where=where)


def test_a_nested_place_of_the_trainer_is_checked():
    config = {"_target_": "pytorch_lightning.Trainer", "profiler": {"_target_": "torch.hub.list"}}
    with pytest.raises(ValueError, match=r"trainer.profiler._target_=torch.hub.list is not a Prof"):
        instantiate(config, where="trainer")


@pytest.mark.parametrize(
    "target", ["torch.nn.functional.relu", "torch.nn.functional.conv2d", "torch.nn.init.ones_"]
)
def test_functions_of_networks_are_parts(target):
    assert instantiate({"_target_": target, "_partial_": True}, where="model.activation")


def test_a_function_of_ones_own_package_may_build_what_belongs_to_its_place():
    config = {"_target_": "collections.OrderedDict"}
    with allowing(["collections"]):
        assert instantiate(config, where="model.options") == {}
    with (
        allowing(["fractions"]),
        pytest.raises(
            ValueError,
            match=r"model._target_=fractions.Fraction.from_float gives a Fraction, not a Lig",
        ),
    ):
        instantiate({"_target_": "fractions.Fraction.from_float", "_args_": [1.0]}, where="model")


def test_an_object_without_a_home_is_refused():
    import stepsize.nets as nets

    class Bare:
        __module__ = None  # type: ignore[assignment]

        def __call__(self) -> None: ...

    nets.bare = Bare()  # type: ignore[attr-defined]
    try:
        with pytest.raises(ValueError, match="is not a class or function of"):
            instantiate({"_target_": "stepsize.nets.bare"}, where="model.net")
    finally:
        del nets.bare  # type: ignore[attr-defined]
