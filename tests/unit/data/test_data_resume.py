"""A resumed run sees exactly the batches that the uninterrupted one would have seen.

All through a real Trainer: Lightning restores loaders at different moments, or not at all,
depending on when it needed the run's length and on what limits the run.
"""

import pytest
import pytorch_lightning as pl
import torch

from stepsize.data import GradientNoise, InMemoryData

STEPS = 5  # batches per epoch, the last one smaller


class Numbered(InMemoryData):
    """Eighteen numbered points, with a validation set or without."""

    def __init__(self, batch_size=4, steps_per_epoch=STEPS, shuffle_seed=7, val=False):
        super().__init__(batch_size, steps_per_epoch, shuffle_seed)
        self.with_val = val

    def make(self):
        x = torch.arange(18.0)[:, None]
        return (x, 2 * x), ((x, 2 * x) if self.with_val else None)


class Diary(pl.LightningModule):
    """Writes down each training batch; asks for the run's length early if configured."""

    def __init__(self, ask_length=False):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.ask_length = ask_length
        self.seen = []

    def training_step(self, batch, batch_idx):
        self.seen.append(batch[0].flatten().tolist())
        return (self.weight * batch[0].sum() * 1e-6).sum()

    def validation_step(self, batch, batch_idx):
        assert len(batch[0]) == 18

    def configure_optimizers(self):
        if self.ask_length:
            assert self.trainer.estimated_stepping_batches > 0
        return torch.optim.SGD(self.parameters(), lr=1e-3)


def _trainer(folder, *callbacks, **limits):
    return pl.Trainer(
        accelerator="cpu",
        logger=False,
        callbacks=list(callbacks),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        **limits,
    )


def _seen(data, folder, save=None, resume=None, ask_length=False, **limits):
    diary = Diary(ask_length)
    trainer = _trainer(folder, **limits)
    trainer.fit(diary, data, ckpt_path=resume, weights_only=True if resume else None)
    if save is not None:
        trainer.save_checkpoint(save)
    return diary.seen


DATA = {
    "minibatches": lambda: Numbered(),
    "minibatches and validation": lambda: Numbered(val=True),
    "full batch": lambda: Numbered(batch_size=None),
    "gradient noise": lambda: GradientNoise(3, 0.5, steps_per_epoch=STEPS, shuffle_seed=7),
}


@pytest.mark.parametrize("ask_length", [False, True])
@pytest.mark.parametrize("stop", [1, 4, 5, 6, 10, 12])
@pytest.mark.parametrize("kind", DATA)
def test_a_run_resumed_at_any_step_sees_the_same_batches(kind, stop, ask_length, tmp_path):
    limits = {"ask_length": ask_length, "max_epochs": 9}  # a known length, so that it is asked for
    whole = _seen(DATA[kind](), tmp_path, max_steps=17, **limits)
    first = _seen(DATA[kind](), tmp_path, save=tmp_path / "a.ckpt", max_steps=stop, **limits)
    rest = _seen(DATA[kind](), tmp_path, resume=tmp_path / "a.ckpt", max_steps=17, **limits)
    assert len(whole) == 17
    assert first == whole[:stop]
    assert rest == whole[stop:]


class Saver(pl.Callback):
    """Writes a checkpoint at the end of every step, as ModelCheckpoint does."""

    def __init__(self, folder):
        self.folder = folder

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        trainer.save_checkpoint(self.folder / f"{trainer.global_step}.ckpt")


@pytest.mark.parametrize("stop", [1, 4, 5, 6, 10])
@pytest.mark.parametrize("val", [False, True])
def test_a_checkpoint_written_during_training_continues_the_same(stop, val, tmp_path):
    diary = Diary()
    _trainer(tmp_path, Saver(tmp_path), max_steps=12).fit(diary, Numbered(val=val))
    checkpoint = tmp_path / f"{stop}.ckpt"
    rest = _seen(Numbered(val=val), tmp_path, resume=checkpoint, max_steps=12)
    assert rest == diary.seen[stop:]


@pytest.mark.parametrize("stop", [1, 2])
@pytest.mark.parametrize("ask_length", [False, True])
def test_a_run_limited_by_epochs_resumes_after_a_finished_one(stop, ask_length, tmp_path):
    whole = _seen(Numbered(), tmp_path, max_epochs=3)
    _seen(Numbered(), tmp_path, save=tmp_path / "a.ckpt", max_epochs=stop)
    rest = _seen(
        Numbered(), tmp_path, resume=tmp_path / "a.ckpt", max_epochs=3, ask_length=ask_length
    )
    assert rest == whole[stop * STEPS :]


def test_a_second_resume_continues_the_first(tmp_path):
    whole = _seen(Numbered(), tmp_path, max_steps=17)
    seen, checkpoint = [], None
    for stop in (3, 8, 17):
        seen += _seen(Numbered(), tmp_path, tmp_path / f"{stop}.ckpt", checkpoint, max_steps=stop)
        checkpoint = tmp_path / f"{stop}.ckpt"
    assert seen == whole


def test_a_second_fit_of_one_trainer_continues(tmp_path):
    whole = _seen(Numbered(), tmp_path, max_epochs=4)
    diary, data, trainer = Diary(), Numbered(), _trainer(tmp_path, max_epochs=2)
    trainer.fit(diary, data)
    trainer.fit_loop.max_epochs = 4
    trainer.fit(diary, data)
    assert diary.seen == whole


def test_a_new_trainer_starts_the_same_data_from_the_beginning(tmp_path):
    data = Numbered()
    assert _seen(data, tmp_path, max_steps=7) == _seen(data, tmp_path, max_steps=7)


def test_reloading_the_loaders_every_epoch_changes_nothing(tmp_path):
    whole = _seen(Numbered(), tmp_path, max_epochs=3)
    assert whole == _seen(Numbered(), tmp_path, max_epochs=3, reload_dataloaders_every_n_epochs=1)


def test_a_limited_number_of_batches_continues_in_the_stream(tmp_path):
    whole = _seen(Numbered(), tmp_path, max_steps=9)
    assert whole == _seen(Numbered(), tmp_path, max_epochs=3, limit_train_batches=3)


class Onlooker(pl.Callback):
    """Takes a batch of its own in the middle of the run, as a callback that draws a plot may."""

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        next(iter(trainer.datamodule.train_dataloader()))


def test_a_callback_that_takes_a_batch_of_its_own_disturbs_nothing(tmp_path):
    whole = _seen(Numbered(), tmp_path, max_steps=12)
    diary, trainer = Diary(), _trainer(tmp_path, Onlooker(), max_steps=7)
    trainer.fit(diary, Numbered())
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    rest = _seen(Numbered(), tmp_path, resume=tmp_path / "a.ckpt", max_steps=12, ask_length=True)
    assert diary.seen + rest == whole
