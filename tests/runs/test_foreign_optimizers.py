"""Optimizers of other packages: two-step, second-order and schedule-free ones."""

import subprocess
import sys

import pytest
import pytorch_lightning as pl
import schedulefree
import torch
from conftest import composed

from stepsize.config.instantiate import instantiate, locate
from stepsize.optim import Recipe, build_optimizer
from stepsize.optim.compatibility import check_trainer, needs_graph


def line(tmp_path, seed=0):
    """The line task's module as a run starts with it, and its only batch."""
    config = composed("task=line", f"seed={seed}", folder=tmp_path / "config")
    pl.seed_everything(seed, verbose=False)
    data = instantiate(config.data)
    module = instantiate(config.model)
    data.setup("fit")
    return module, tuple(data.train)


def weights(finished):
    return {k: v for k, v in finished.checkpoint["state_dict"].items() if k.startswith("net.")}


def assert_same(mine, theirs, **tolerance):
    assert mine.keys() == theirs.keys()
    for key, value in mine.items():
        torch.testing.assert_close(value, theirs[key], **tolerance)


EXACT = {"rtol": 0, "atol": 0}
CLOSE = {"rtol": 1e-5, "atol": 1e-6}
OVERRIDES = ["task=line", "callbacks.plot=null"]


def test_sam_applies_the_gradient_taken_uphill_and_records_the_loss_before_it(run, tmp_path):
    finished = run(
        *OVERRIDES, "optimizer=sam", "optimizer.rho=0.2", "trainer.max_steps=5",
        "trainer.log_every_n_steps=1",
    )  # fmt: skip
    module, batch = line(tmp_path)
    parameters = list(module.net.parameters())
    sgd = torch.optim.SGD(parameters, lr=1e-2, momentum=0.9)
    losses = []
    for _ in range(5):
        before = [p.detach().clone() for p in parameters]
        loss = module.step(batch).loss
        losses.append(loss.item())
        gradients = torch.autograd.grad(loss, parameters)
        norm = torch.stack([g.norm() for g in gradients]).norm()
        with torch.no_grad():
            for p, g in zip(parameters, gradients, strict=True):
                p.add_(0.2 * g / norm)
        uphill = torch.autograd.grad(module.step(batch).loss, parameters)
        with torch.no_grad():
            for p, g, w in zip(parameters, uphill, before, strict=True):
                p.copy_(w)
                p.grad = g
        sgd.step()
    assert_same(weights(finished), dict(module.state_dict()), **CLOSE)
    assert [finished.curve("train/loss")[s] for s in range(5)] == pytest.approx(losses, rel=1e-5)
    assert finished.result["steps"] == 5


def test_sophia_knows_the_hessian_of_a_quadratic_without_rotation(run):
    # With directions of +-1 and a diagonal Hessian, one estimate is exact.
    finished = run(
        "task=quadratic", "model.net.rotate=false", "model.net.condition=100",
        "optimizer=sophia", "optimizer.hessian_distribution=rademacher",
        "trainer.max_steps=1", "callbacks.plot=null",
    )  # fmt: skip
    (state,) = finished.checkpoint["optimizer_states"][0]["state"].values()
    torch.testing.assert_close(state["hessian"], torch.logspace(0, 2, 10))


def test_sophia_trains_with_clipping_and_accumulation(run):
    finished = run(
        "task=digits_mlp", "optimizer=sophia", "trainer.gradient_clip_val=0.5",
        "trainer.accumulate_grad_batches=2", "trainer.max_steps=60", "callbacks.plot=null",
    )  # fmt: skip
    loss = finished.result["metrics"]["train/loss"]
    assert loss["final"] < 0.5 * loss["first"]


def test_what_differentiates_gradients_is_recognised():
    assert needs_graph(locate("pytorch_optimizer.SophiaH"))
    assert needs_graph(locate("pytorch_optimizer.AdaHessian"))
    assert not needs_graph(locate("pytorch_optimizer.Lion"))
    assert not needs_graph(torch.optim.Adam)


def test_the_error_for_a_backward_without_a_graph_says_what_to_write():
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.strategy.connect(pl.LightningModule())
    with pytest.raises(ValueError, match=r"SophiaH differentiates .*create_graph=True"):
        check_trainer([locate("pytorch_optimizer.SophiaH")], trainer)


FREE = [*OVERRIDES, "optimizer=schedulefree_adamw", "optimizer.lr=0.1"]


def test_what_is_looked_at_are_the_averaged_weights_of_a_schedule_free_run(run, tmp_path):
    finished = run(*FREE, "trainer.max_steps=25")
    module, batch = line(tmp_path)
    optimizer = schedulefree.AdamWScheduleFree(module.parameters(), lr=0.1)
    losses, averaged = {}, {}
    for step in range(26):
        optimizer.eval()
        averaged[step] = module.step(batch).loss.item()
        if step == 25:
            break
        optimizer.train()
        optimizer.zero_grad()
        loss = module.step(batch).loss
        losses[step] = loss.item()
        loss.backward()
        optimizer.step()
    assert_same(weights(finished), dict(module.state_dict()), **CLOSE)
    optimum = finished.result["optimum"]
    gaps = finished.curve("train/gap")
    assert gaps == {s: pytest.approx(averaged[s] - optimum, rel=1e-4) for s in (0, 10, 20, 25)}
    assert finished.curve("train/loss") == {
        **{s: pytest.approx(losses[s], rel=1e-4) for s in (0, 10, 20)},
        25: pytest.approx(averaged[25], rel=1e-4),
    }


DIGITS = [
    "task=digits_mlp", "optimizer=schedulefree_adamw", "callbacks.plot=null",
    "trainer.max_steps=30",
]  # fmt: skip


def test_how_often_a_schedule_free_run_is_looked_at_and_saved_changes_nothing(run):
    seldom = run(*DIGITS, "trainer.val_check_interval=30", "trainer.log_every_n_steps=20")
    often = run(
        *DIGITS, "trainer.val_check_interval=3", "trainer.log_every_n_steps=2",
        "callbacks.checkpoint.minutes=1e-9",
    )  # fmt: skip
    assert_same(weights(seldom), weights(often), **EXACT)


def test_a_schedule_free_run_resumes_exactly_from_a_checkpoint_of_averaged_weights(run):
    whole = run(*DIGITS)
    half = run(*DIGITS, "trainer.max_steps=13")
    rest = run(*DIGITS, f"ckpt_path={half.folder / 'checkpoints' / 'last.ckpt'}")
    assert_same(weights(whole), weights(rest), **EXACT)
    group = half.checkpoint["optimizer_states"][0]["param_groups"][0]
    assert group["train_mode"] is False, "what others load are weights and a mode that agree"
    kept = half.checkpoint["callbacks"]["OptimizerMode"]["training_weights"]
    averaged = list(weights(half).values())
    assert not torch.equal(kept[0], averaged[0])


def test_a_part_of_a_composite_is_switched_too(run):
    finished = run(
        "task=digits_mlp", "optimizer=muon", "trainer.max_steps=30", "callbacks.plot=null",
        "optimizer.other_params._target_=schedulefree.AdamWScheduleFree",
        "~optimizer.other_params.amsgrad", "~optimizer.other_params.maximize",
    )  # fmt: skip
    groups = finished.checkpoint["optimizer_states"][0]["param_groups"]
    assert [group.get("train_mode") for group in groups] == [None, False]
    kept = finished.checkpoint["callbacks"]["OptimizerMode"]["training_weights"]
    assert len(kept) == len(groups[1]["params"])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["optimizer._target_=pytorch_optimizer.SAM"], "use optimizer=sam"),
        (["optimizer._target_=pytorch_optimizer.LookSAM"], "use optimizer=sam"),
        (["optimizer=sam", "trainer.accumulate_grad_batches=2"], "SAM evaluates .* several times"),
        (["optimizer=lbfgs", "trainer.accumulate_grad_batches=2"], "LBFGS evaluates .* several"),
        (["optimizer=sam", "optimizer.base_optimizer=torch.optim.LBFGS"], "does not, such as"),
        (["optimizer=sam", "optimizer.base_optimizer=torch.optim.Adm"], "did you mean Adam"),
        (["optimizer=sam", "optimizer.base_optimizer=os.system"], "not in an allowed package"),
        (["optimizer=sam", "optimizer.base_optimizer=torch.nn.Linear"], "not a torch optimizer"),
        (
            ["scheduler=cosine", "+scheduler.frequency=2", "trainer.accumulate_grad_batches=2"],
            "frequency=2 counts batches and not steps",
        ),
    ],
)
def test_an_impossible_combination_is_refused_in_one_line_before_training(run, overrides, message):
    with pytest.raises(ValueError, match=message) as raised:
        run("task=digits_mlp", "callbacks.plot=null", *overrides)
    assert "\n" not in str(raised.value)


def test_a_two_step_optimizer_cannot_be_part_of_a_composite():
    sam = {
        "_target_": "stepsize.optim.sam.SAM",
        "base_optimizer": "torch.optim.SGD",
        "lr": 0.1,
        "params": {"ndim": 2},
        "other_params": {"_target_": "torch.optim.Adam"},
    }
    with pytest.raises(ValueError, match="SAM cannot be part of a composite"):
        build_optimizer(sam, torch.nn.Linear(2, 2).named_parameters())


@pytest.mark.parametrize(
    ("package", "target"),
    [
        ("pytorch_optimizer", "pytorch_optimizer.Lion"),
        ("schedulefree", "schedulefree.AdamWScheduleFree"),
        ("pytorch_optimizer", "stepsize.optim.sam.SAM"),
    ],
)
def test_a_class_whose_package_is_missing_names_the_extra(monkeypatch, package, target):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, "stepsize.optim.sam", raising=False)
    monkeypatch.delattr("stepsize.optim.sam", raising=False)
    with pytest.raises(ValueError, match=rf'{package} is not installed; pip install -e ".\[opti'):
        locate(target)


def test_an_option_that_pytorch_optimizer_would_swallow_is_a_warning(caplog):
    lion = {"_target_": "pytorch_optimizer.Lion", "wd": 0.1}
    build_optimizer(lion, torch.nn.Linear(2, 2).named_parameters())
    assert "Lion names no option wd" in caplog.text


def test_the_packages_are_not_imported_unless_they_are_chosen():
    code = (
        "import sys, torch; from stepsize.train import train; from stepsize.optim import *\n"
        "from stepsize.callbacks.required import required_callbacks\n"
        "assert required_callbacks(Recipe({'_target_': 'torch.optim.Adam'})) == []\n"
        "assert not {'pytorch_optimizer', 'schedulefree'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_recipe_names_the_callbacks_it_needs():
    from stepsize.callbacks.required import required_callbacks

    plateau = {"_target_": "torch.optim.lr_scheduler.ReduceLROnPlateau"}
    recipe = Recipe({"_target_": "schedulefree.SGDScheduleFree"}, scheduler=plateau)
    assert [type(c).__name__ for c in required_callbacks(recipe)] == [
        "OptimizerMode",
        "PlateauStart",
    ]
