"""Every training loader gives the same batches at one seed, and continues exactly."""

import json

import pytest
from own_loaders import own
from resuming import DIARY, check_exact, stop_run


# Every kind: tests/all/test_every_resume.py.
@pytest.mark.parametrize("kind", ["shuffled", "augmented by workers", "two", "with state"])
def test_a_run_with_dropout_goes_on_exactly_in_the_middle_of_an_epoch(run, kind):
    check_exact(run, own(kind), 10, steps=19)


@pytest.mark.parametrize("step", [7, 8], ids=["the end of an epoch", "a validation"])
def test_it_does_not_matter_where_a_run_with_a_loader_was_stopped(run, step):
    check_exact(run, own("unshuffled"), step, steps=16)


@pytest.mark.parametrize("kind", ["own generator", "augmented by workers", "two"])
def test_optimizers_see_the_same_batches_whatever_they_draw(run, kind):
    # LBFGS evaluates the model, and so draws its dropout, many times in a step.
    batches = {}
    for optimizer, validations in (("adam", "8"), ("lbfgs", "3")):
        words = [*own(kind, optimizer), *DIARY, "trainer.max_steps=16"]
        done = run(*words, f"trainer.val_check_interval={validations}")
        batches[optimizer] = json.loads((done.folder / "batches.json").read_text())
    assert len(batches["adam"]) == 16
    assert batches["adam"] == batches["lbfgs"]


def test_seeds_and_epochs_have_batches_of_their_own(run):
    seen = []
    for seed in (0, 1):
        done = run(*own("shuffled"), *DIARY, "trainer.max_steps=14", f"seed={seed}")
        batches = json.loads((done.folder / "batches.json").read_text())
        seen += [entry[2] for entry in batches]
    assert len(set(seen)) == 28


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("stream", "an IterableDataset, Stream, whose position cannot be restored"),
        (
            "iterator",
            "an iterator, _SingleProcessDataLoaderIter, whose position cannot be restored",
        ),
        ("with state", None),
        ("shuffled", None),
    ],
)
def test_a_loader_that_cannot_be_restored_is_announced_before_training(run, caplog, kind, said):
    run(*own(kind), "trainer.max_steps=1")
    warned = [entry.message for entry in caplog.records if entry.levelname == "WARNING"]
    assert [said in line for line in warned] == ([True] if said else [])


def test_equal_fingerprints_are_equal_starts_and_batches(run):
    def prints(seed, *words):
        return run(*own("shuffled", *words), "trainer.max_steps=9", f"seed={seed}").result[
            "fingerprints"
        ]

    adam, lbfgs, other = prints(0), prints(0, "lbfgs"), prints(1)
    assert adam == lbfgs
    assert adam["first_batch"] != adam["last_batch"]
    assert all(adam[key] != other[key] for key in ("initial_weights", "first_batch", "last_batch"))


def test_a_resumed_run_has_the_fingerprints_of_the_whole_run(run):
    words = [*own("shuffled"), *DIARY]
    left = stop_run(run, 5, "crash", *words[:-2], "trainer.max_steps=9")
    whole = run(*words, "trainer.max_steps=9")
    resumed = run(*words, "trainer.max_steps=9", f"ckpt_path={left}")
    assert None not in whole.result["fingerprints"].values()
    assert resumed.result["fingerprints"] == whole.result["fingerprints"]
