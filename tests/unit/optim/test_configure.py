"""A recipe is parsed once, and the plan of its optimizer is there for callbacks."""

from __future__ import annotations

import pytest
import pytorch_lightning as pl
import torch

from stepsize.data import Line
from stepsize.modules import Regressor
from stepsize.optim import OptimizerSpec, Recipe
from stepsize.optim.configure import plan_of

MUON = {
    "_target_": "torch.optim.Muon",
    "lr": 0.02,
    "params": {"ndim": 2},
    "other_params": {"_target_": "torch.optim.AdamW"},
}


def fitted(recipe: Recipe) -> Regressor:
    module = Regressor(torch.nn.Linear(1, 1))
    module.recipe = recipe
    pl.Trainer(
        max_steps=1, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, limit_val_batches=0,
    ).fit(module, Line())  # fmt: skip
    return module


def test_a_run_parses_each_optimizer_of_its_configuration_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parsed = []
    parse = OptimizerSpec.from_config.__func__

    def counted(cls, config, where="optimizer"):
        parsed.append(where)
        return parse(cls, config, where)

    monkeypatch.setattr(OptimizerSpec, "from_config", classmethod(counted))
    fitted(Recipe(MUON))
    assert parsed == ["optimizer", "optimizer.other_params"]


def test_the_plan_is_found_in_the_recipe_once_the_optimizer_is_built() -> None:
    recipe = Recipe(MUON, {"bias": {"match": "bias", "lr": 0.5}})
    module = fitted(recipe)
    plan = plan_of(module)
    assert plan is recipe.plan
    assert plan.lrs == {"default/Muon": 0.02, "bias/AdamW": 0.5}


def test_a_module_that_configures_its_own_optimizer_has_no_plan() -> None:
    assert plan_of(pl.LightningModule()) is None
    assert plan_of(Regressor(torch.nn.Linear(1, 1))) is None


def test_a_spec_knows_its_optimizers_in_the_order_of_a_composite() -> None:
    spec = OptimizerSpec.from_config(MUON)
    assert spec.classes == [torch.optim.Muon, torch.optim.AdamW]
    assert [part.lr for part in spec.chain] == [0.02, 1e-3]
    assert [part.where for part in spec.chain] == ["optimizer", "optimizer.other_params"]
