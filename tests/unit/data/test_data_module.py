"""What every data set shares: sizes, devices, refusals and its fingerprint."""

import pytest
import pytorch_lightning as pl
import torch

from stepsize.data import Blobs, Curve, Digits, InMemoryData, Line


class Counted(InMemoryData):
    """Counts how often its data are made."""

    made = 0

    def make(self):
        self.made += 1
        return (torch.zeros(3, 1), torch.zeros(3, 1)), None


class Fitted(pl.LightningModule):
    """One weight; notes the devices and sizes of its batches."""

    def __init__(self):
        super().__init__()
        self.net = torch.nn.Linear(1, 1)
        self.validated = []

    def training_step(self, batch, batch_idx):
        x, y = batch
        assert x.device == y.device == self.device
        return (self.net(x) - y).square().mean()

    def validation_step(self, batch, batch_idx):
        self.validated.append(len(batch[0]))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1e-3)


def _fit(data, tmp_path, **options):
    module = Fitted()
    trainer = pl.Trainer(
        **{"accelerator": "cpu", "max_steps": 6, **options},
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(module, data)
    return module


def test_data_are_made_once_and_on_first_use():
    data = Counted()
    assert data.made == 0
    assert data.train is data.train
    assert data.val is None
    list(data.train_dataloader())
    assert data.made == 1


def test_data_without_validation_train_without_a_warning(tmp_path):
    assert (
        _fit(Line(), tmp_path, check_val_every_n_epoch=None, val_check_interval=2).validated == []
    )


def test_the_whole_validation_set_is_one_batch(tmp_path):
    data = Curve(points=50, steps_per_epoch=3)
    assert _fit(data, tmp_path, num_sanity_val_steps=0).validated == [50, 50]


@pytest.mark.skipif(
    not torch.cuda.is_available(), reason="needs an NVIDIA GPU and a torch built for CUDA"
)
def test_data_are_moved_to_the_trainer_s_device(tmp_path):
    _fit(Curve(points=50, batch_size=8), tmp_path, accelerator="cuda", devices=1)


def test_without_a_trainer_every_loader_starts_at_the_first_batch():
    data = Curve(points=10, batch_size=3)
    first, second = (torch.cat([x for x, _ in data.train_dataloader()]) for _ in range(2))
    assert torch.equal(first, second)


def test_after_a_fit_the_loader_starts_at_the_first_batch_again(tmp_path):
    data = Curve(points=10, batch_size=3)
    before = torch.cat([x for x, _ in data.train_dataloader()])
    _fit(data, tmp_path)
    assert torch.equal(before, torch.cat([x for x, _ in data.train_dataloader()]))


@pytest.mark.parametrize(("batch_size", "full"), [(None, True), (4, False)])
def test_full_batch_says_whether_every_step_sees_all_points(batch_size, full):
    assert Line(batch_size=batch_size).full_batch is full


def test_the_seed_of_the_run_changes_the_order_and_not_the_data():
    first, second = (Curve(points=20, batch_size=5, shuffle_seed=seed) for seed in (0, 1))
    assert first.fingerprint() == second.fingerprint()
    batches = [next(iter(data.train_dataloader()))[0] for data in (first, second)]
    assert not torch.equal(*batches)


def test_the_fingerprint_sees_a_change_in_either_set():
    class Changed(Curve):
        def make(self):
            (x, y), (a, b) = super().make()
            if self.which == "train":
                y[3] += 1e-6
            if self.which == "val":
                b[3] += 1e-6
            return (x, y), (a, b)

    prints = set()
    for which in ("none", "train", "val"):
        data = Changed(points=5)
        data.which = which
        prints.add(data.fingerprint())
    assert len(prints) == 3
    assert Curve(points=5).fingerprint() in prints


@pytest.mark.parametrize("batch_size", [0, -1, 2.5, True, "64"])
def test_an_impossible_batch_size_is_refused_at_once(batch_size):
    with pytest.raises(ValueError, match=r"^data\.batch_size=.*or null for all points in every"):
        Line(batch_size=batch_size)


def test_a_batch_larger_than_the_training_set_is_refused_when_the_size_is_known():
    data = Line(batch_size=16)
    with pytest.raises(ValueError, match=r"data\.batch_size=16: give a whole number from 1 to 15"):
        data.train_dataloader()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Line(steps_per_epoch=0), r"data\.steps_per_epoch=0"),
        (lambda: Line(shuffle_seed=-1), r"data\.shuffle_seed=-1"),
        (lambda: Curve(points=0), r"data\.points=0"),
        (lambda: Curve(noise=-0.1), r"data\.noise=-0\.1: give a finite number from 0 up"),
        (lambda: Curve(noise=float("nan")), r"data\.noise=nan"),
        (lambda: Curve(seed=-3), r"data\.seed=-3"),
        (lambda: Blobs(points_per_class=1.5), r"data\.points_per_class=1\.5"),
        (lambda: Digits(seed=None), r"data\.seed=None"),
    ],
)
def test_numbers_out_of_range_are_refused_in_one_line(make, message):
    with pytest.raises(ValueError, match=message) as refused:
        make()
    assert "\n" not in str(refused.value)


def test_more_than_one_process_is_refused():
    data = Line()
    data.trainer = pl.Trainer(
        accelerator="cpu", devices=2, strategy="ddp", logger=False, enable_checkpointing=False
    )
    with pytest.raises(ValueError, match="2 processes: Line keeps its data in memory"):
        data.train_dataloader()


def test_overfitting_to_some_batches_of_a_reshuffled_set_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"trainer\.overfit_batches=2"):
        _fit(Line(batch_size=5), tmp_path, overfit_batches=2)
