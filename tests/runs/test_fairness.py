"""At one seed every optimizer starts from the same weights and sees the same batches."""

import hashlib

import pytest
import pytorch_lightning as pl
import torch
from conftest import composed, names
from hydra.errors import HydraException

from stepsize.config.instantiate import instantiate


class Witness(pl.Callback):
    """Notes the first weights and all batches."""

    def __init__(self):
        self.weights, self.batches = "", []

    def on_train_start(self, trainer, pl_module):
        self.weights = _hash(pl_module.state_dict().values())

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.batches.append(_hash(batch))


def _hash(tensors):
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _witness(monkeypatch, run, *overrides):
    seen = Witness()
    import stepsize.train

    original = stepsize.train._instantiate_all
    monkeypatch.setattr(
        stepsize.train,
        "_instantiate_all",
        lambda config, group: original(config, group) + ([seen] if group == "callbacks" else []),
    )
    run(
        "trainer.max_steps=30",
        "trainer.val_check_interval=10",
        "callbacks.plot=null",
        *overrides,
    )
    monkeypatch.undo()
    return seen.weights, seen.batches


@pytest.mark.parametrize("task", names("task"))
def test_optimizers_start_equal_and_see_equal_batches(monkeypatch, run, task):
    gentle_lbfgs = ["optimizer=lbfgs", "optimizer.max_iter=2", "optimizer.lr=1e-3"]
    other = ["optimizer=adagrad" if task == "digits_sparse" else "optimizer=adamw"]
    optimizers = [["optimizer=sgd"], other, gentle_lbfgs]
    seen = [_witness(monkeypatch, run, f"task={task}", *words) for words in optimizers]
    assert all(other == seen[0] for other in seen[1:])
    assert len(seen[0][1]) == 30


def test_another_seed_gives_other_weights_and_another_order(monkeypatch, run):
    task = ["task=digits_mlp", "optimizer=sgd"]
    weights0, batches0 = _witness(monkeypatch, run, *task, "seed=0")
    weights1, batches1 = _witness(monkeypatch, run, *task, "seed=1")
    assert weights0 != weights1
    assert batches0 != batches1


def test_seed_zero_is_a_seed(run):
    torch.manual_seed(1)
    first = run("task=curve", "trainer.max_steps=10", "callbacks.plot=null", "seed=0")
    torch.manual_seed(2)
    second = run("task=curve", "trainer.max_steps=10", "callbacks.plot=null", "seed=0")
    assert first.rows == second.rows


@pytest.mark.parametrize("task", names("task"))
def test_the_data_do_not_depend_on_the_seed_or_on_what_ran_before(tmp_path, task):
    def fingerprint(seed):
        cfg = composed(f"task={task}", f"seed={seed}", folder=tmp_path)
        from omegaconf import OmegaConf

        return instantiate(OmegaConf.to_container(cfg, resolve=True, enum_to_str=True)["data"])

    torch.manual_seed(5)
    before = fingerprint(0)
    torch.rand(3)
    after = fingerprint(7)
    if hasattr(before, "fingerprint"):
        assert before.fingerprint() == after.fingerprint()
    else:
        assert task in ("quadratic", "rosenbrock")  # no data, only gradient noise


@pytest.mark.parametrize("seed", ["-1", "1.5", "true", "null", "text"])
def test_a_seed_that_is_none_is_refused(run, seed):
    with pytest.raises((ValueError, HydraException), match=f"seed={seed}"):
        run("task=line", f"seed={seed}")
