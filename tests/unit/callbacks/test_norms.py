"""Gradient norms and update ratios are those of the optimizer's own steps."""

import math
from typing import ClassVar

import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from conftest import composed, names
from hydra.utils import instantiate

from stepsize.callbacks.norms import Norms

EVERY_ROW = ["callbacks.norms.every=1", "trainer.log_every_n_steps=1", "callbacks.plot=null"]
LINE = ["task=line", "logger=none", *EVERY_ROW]
MLP = ["task=digits_mlp", "logger=none", *EVERY_ROW]
# Where an optimizer cannot train the digits with dense gradients.
OTHER_TASK = {"sparse_adam": "task=digits_sparse", "lbfgs": "task=breast_cancer"}


def by_hand(tmp_path, optimizer, steps):
    """Gradient norms and update ratios of a hand-written loop on the line task."""
    config = composed("task=line", folder=tmp_path / "config")
    torch.manual_seed(0)
    x, y = instantiate(config.data).train
    torch.manual_seed(0)
    net = instantiate(config.model).net
    weights = list(net.parameters())
    optimizer = optimizer(weights)
    rows = []
    for _ in range(steps):
        optimizer.zero_grad()
        F.mse_loss(net(x), y).backward()
        gradient = torch.cat([w.grad.flatten() for w in weights]).norm().item()
        before = torch.cat([w.detach().flatten() for w in weights])
        optimizer.step()
        moved = torch.cat([w.detach().flatten() for w in weights]) - before
        rows.append((gradient, (moved.norm() / before.norm()).item()))
    return rows


def measured(done, group="default"):
    norms, ratios = done.curve(f"grad_norm/{group}"), done.curve(f"update_ratio/{group}")
    assert list(norms) == list(ratios)
    return [(norms[step], ratios[step]) for step in norms]


@pytest.mark.parametrize(
    ("words", "optimizer"),
    [
        (["optimizer=sgd", "optimizer.lr=1e-2"], lambda w: torch.optim.SGD(w, 1e-2)),
        (["optimizer=adam"], lambda w: torch.optim.Adam(w, 1e-3)),
    ],
)
def test_norms_and_ratios_are_those_of_a_hand_written_loop(run, tmp_path, words, optimizer):
    done = run(*LINE, *words, "trainer.max_steps=6")
    expected = by_hand(tmp_path, optimizer, steps=6)
    for got, wanted in zip(measured(done), expected, strict=True):
        assert got == pytest.approx(wanted, rel=1e-5)


def test_a_schedule_free_optimizer_is_measured_where_it_takes_gradients(run, tmp_path):
    schedulefree = pytest.importorskip(
        "schedulefree", reason='needs: pip install -e ".[optimizers]"'
    )

    def optimizer(weights):
        made = schedulefree.AdamWScheduleFree(weights, lr=1e-2)
        made.train()
        return made

    words = ["optimizer=schedulefree_adamw", "optimizer.lr=1e-2", "optimizer.weight_decay=0.0"]
    done = run(*LINE, *words, "trainer.max_steps=6")
    for got, wanted in zip(measured(done), by_hand(tmp_path, optimizer, steps=6), strict=True):
        assert got == pytest.approx(wanted, rel=1e-4)


def test_the_gradient_is_measured_before_clipping_and_the_update_after(run):
    words = [*LINE, "optimizer=sgd", "optimizer.lr=1e-3", "trainer.max_steps=1"]
    (free,), (clipped,) = (
        measured(run(*words, *clip)) for clip in ([], ["trainer.gradient_clip_val=0.1"])
    )
    assert free[0] == clipped[0] > 0.1
    assert clipped[1] == pytest.approx(free[1] * 0.1 / free[0], rel=1e-3)


def weights_of(done):
    state = done.checkpoint["state_dict"]
    return torch.cat([value.flatten() for value in state.values()])


def test_an_optimizer_that_evaluates_often_is_measured_over_its_whole_step(run):
    words = [*LINE, "trainer.max_steps=2"]
    lbfgs, adam = run(*words, "optimizer=lbfgs"), run(*words, "optimizer=adam")
    once = weights_of(run(*LINE, "trainer.max_steps=1", "optimizer=lbfgs"))
    moved = weights_of(lbfgs) - once
    assert measured(lbfgs)[0][0] == measured(adam)[0][0]  # the first of its gradients
    assert measured(lbfgs)[1][1] == pytest.approx((moved.norm() / once.norm()).item(), rel=1e-5)


def test_sharpness_aware_steps_show_the_gradient_at_the_weights(run):
    pytest.importorskip("pytorch_optimizer", reason='needs: pip install -e ".[optimizers]"')
    words = [*LINE, "trainer.max_steps=1"]
    (sam,), (sgd,) = (measured(run(*words, f"optimizer={name}")) for name in ("sam", "sgd"))
    assert sam[0] == sgd[0]


class DenseNorm(pl.Callback):
    """Notes the norm of the first sparse gradient, made dense."""

    seen: ClassVar[list[float]] = []

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        (weight,) = optimizer.param_groups[0]["params"]
        assert weight.grad.is_sparse
        assert not weight.grad.is_coalesced()
        self.seen.append(weight.grad.to_dense().norm().item())


def test_in_a_sparse_gradient_entries_of_one_place_are_added_up(run):
    dense = ["+callbacks.dense={_target_: test_norms.DenseNorm}", "allowed_packages=[test_norms]"]
    done = run(*MLP, "task=digits_sparse", *dense, "trainer.max_steps=1")
    assert measured(done)[0][0] == pytest.approx(DenseNorm.seen[0], rel=1e-5)


@pytest.mark.parametrize("optimizer", names("optimizer"))
def test_every_optimizer_has_a_norm_and_a_ratio_for_each_of_its_groups(run, optimizer):
    words = [*MLP, OTHER_TASK.get(optimizer, "task=digits_mlp"), "trainer.max_steps=2"]
    done = run(*words, f"optimizer={optimizer}")
    groups = [tag.removeprefix("lr/") for tag in done.rows[0] if tag.startswith("lr/")]
    for group in groups:
        first, second = measured(done, group)
        assert all(0 < value < math.inf for value in first)
        assert all(math.isfinite(value) for value in second)  # LBFGS may have converged


def test_a_composite_optimizer_has_curves_for_each_of_its_parts(run):
    done = run(*MLP, "optimizer=muon", "trainer.max_steps=1")
    assert {"grad_norm/default/Muon", "update_ratio/default/AdamW"} <= set(done.rows[0])


def test_a_group_that_is_frozen_has_no_curve_until_it_joins(run):
    words = ["param_groups=freeze_backbone", "callbacks=unfreeze", "trainer.max_steps=6"]
    done = run(*MLP, *words)
    assert list(done.curve("grad_norm/default")) == [0, 1, 2, 3, 4, 5]
    assert list(done.curve("grad_norm/backbone")) == [3, 4, 5]
    assert list(done.curve("update_ratio/backbone")) == [3, 4, 5]


def test_an_update_of_weights_that_are_all_zero_has_no_ratio(run):
    words = [*LINE, "task=rosenbrock", "model.net.start=[0.0,0.0]", "optimizer.lr=1e-3"]
    done = run(*words, "optimizer=sgd", "trainer.max_steps=3")
    assert list(done.curve("grad_norm/default")) == [0, 1, 2]
    assert list(done.curve("update_ratio/default")) == [1, 2]


def test_they_stand_in_every_so_manieth_logged_row(run):
    words = ["task=line", "logger=none", "callbacks.plot=null", "trainer.max_steps=10"]
    done = run(*words, "trainer.log_every_n_steps=2", "callbacks.norms.every=2")
    assert list(done.curve("train/loss")) == [0, 2, 4, 6, 8, 10]
    assert list(done.curve("grad_norm/default")) == [0, 4, 8]
    assert [row["step"] for row in done.rows] == ["0", "2", "4", "6", "8", "10"]


def test_with_accumulated_gradients_the_whole_one_counts(run):
    words = [*MLP, "trainer.max_steps=2", "optimizer=sgd"]
    done = run(*words, "trainer.accumulate_grad_batches=3")
    single = run(*words)
    assert list(done.curve("grad_norm/default")) == [0, 1]
    assert measured(done)[0][0] != measured(single)[0][0]
    assert [row["step"] for row in done.rows if row["train/loss"]] == ["0", "1"]


def test_they_change_nothing_in_the_training(run):
    words = [*MLP, "trainer.max_steps=12", "optimizer=adam"]
    with_, without = run(*words), run(*words, "callbacks.norms=null")
    assert torch.equal(weights_of(with_), weights_of(without))
    assert with_.curve("train/loss") == without.curve("train/loss")
    assert not any(tag.startswith(("grad_norm", "update_ratio")) for tag in without.rows[0])


def test_a_resumed_run_has_the_same_rows(run):
    words = [*MLP, "callbacks.norms.every=2", "trainer.log_every_n_steps=3", "optimizer=adam"]
    short = run(*words, "trainer.max_steps=13")
    whole = run(*words, "trainer.max_steps=20")
    left = short.folder / "checkpoints" / "last.ckpt"
    resumed = run(*words, "trainer.max_steps=20", f"ckpt_path={left}")
    assert list(resumed.curve("grad_norm/default")) == [0, 6, 12, 18]
    tables = [(done.folder / "metrics.csv").read_text() for done in (resumed, whole)]
    assert tables[0] == tables[1]


def test_a_run_that_was_stopped_within_an_accumulation_has_the_same_rows(run, tmp_path):
    words = [*MLP, "trainer.accumulate_grad_batches=4", "trainer.max_steps=6"]
    stop = "+callbacks.stop={_target_: resuming.StopAtBatch, batch: 14}"
    with pytest.raises(SystemExit):
        run(*words, stop, "allowed_packages=[resuming]")
    left = tmp_path / "run0" / "checkpoints" / "last.ckpt"
    resumed, whole = run(*words, f"ckpt_path={left}"), run(*words)
    assert list(whole.curve("update_ratio/default")) == [0, 1, 2, 3, 4, 5]
    tables = [(done.folder / "metrics.csv").read_text() for done in (resumed, whole)]
    assert tables[0] == tables[1]


def test_without_the_rows_that_they_extend_they_are_refused():
    trainer = pl.Trainer(
        accelerator="cpu", max_steps=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, callbacks=[Norms()],
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"callbacks.norms: add .*recorder.Record"):
        Norms().on_train_start(trainer, pl.LightningModule())


@pytest.mark.parametrize("precision", ["64-true", "bf16-mixed", "bf16-true"])
def test_another_precision_gives_the_same_but_for_rounding(run, precision):
    words = [*LINE, "optimizer=sgd", "optimizer.lr=1e-2", "trainer.max_steps=1"]
    (other,), (usual,) = (
        measured(run(*words, *p)) for p in ([f"trainer.precision={precision}"], [])
    )
    assert other == pytest.approx(usual, rel=0.03)


def test_they_are_curves_and_no_results(run):
    done = run(*LINE, "trainer.max_steps=2")
    assert "grad_norm/default" in done.rows[0]
    assert set(done.result["metrics"]) == {"train/loss", "train/gap"}


@pytest.mark.parametrize("every", [0, -1, 2.5, "x", True])
def test_an_interval_that_is_not_a_whole_number_is_refused(every):
    with pytest.raises(ValueError, match=f"norms.every={every!r}: give a whole number from 1 up"):
        Norms(every=every)
