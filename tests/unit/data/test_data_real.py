"""The three real data sets."""

import numpy as np
import pytest
import torch

from stepsize.data import BreastCancer, Diabetes, Digits, DigitsTokens
from stepsize.data.real import read


@pytest.mark.parametrize(
    ("name", "shape", "corner", "total"),
    [
        ("diabetes", (442, 10), (59.0, 151.0), 67243.0),
        ("breast_cancer", (569, 30), (17.99, 0.0), 357.0),
        ("digits", (1797, 64), (0.0, 0.0), 8070.0),
    ],
)
def test_the_files_hold_the_known_numbers(name, shape, corner, total):
    x, y = read(name)
    assert x.shape == shape
    assert y.shape == shape[:1]
    assert (x[0, 0], y[0]) == corner
    assert y.sum() == total


def _is_standardised(columns):
    columns = columns.double()
    torch.testing.assert_close(columns.mean(0), torch.zeros_like(columns[0]), atol=1e-6, rtol=0)
    spread = columns.std(0, correction=0)
    torch.testing.assert_close(spread, torch.ones_like(spread), atol=1e-6, rtol=0)


def test_diabetes_is_standardised_with_its_target():
    x, y = Diabetes().train
    assert x.shape == (442, 10)
    assert y.shape == (442, 1)
    _is_standardised(x)
    _is_standardised(y)


def test_breast_cancer_is_standardised_and_has_212_malignant_tumours():
    x, y = BreastCancer().train
    assert x.shape == (569, 30)
    assert y.dtype == torch.int64
    assert y.bincount().tolist() == [212, 357]
    _is_standardised(x)


def test_malignant_tumours_are_class_zero_for_they_are_larger():
    x, y = BreastCancer().train
    assert x[y == 0, 0].mean() > x[y == 1, 0].mean()


@pytest.mark.parametrize("data", [Diabetes, BreastCancer])
def test_sets_with_a_known_optimum_train_on_all_points_in_every_step(data):
    assert data().full_batch
    assert data().val is None


@pytest.mark.parametrize(("image", "shape"), [(True, (1, 8, 8)), (False, (64,))])
def test_digits_come_as_images_or_as_rows(image, shape):
    (x, y), (x_val, y_val) = (Digits(image=image).train, Digits(image=image).val)
    assert x.shape == (1437, *shape)
    assert x_val.shape == (360, *shape)
    assert y.shape == (1437,)
    assert y_val.shape == (360,)
    assert y.dtype == torch.int64


def test_digits_are_scaled_by_the_training_images_alone():
    x, _ = Digits().train
    assert x.double().mean().item() == pytest.approx(0, abs=1e-6)
    assert x.double().std(correction=0).item() == pytest.approx(1, abs=1e-6)


def test_digits_are_split_class_by_class_and_no_image_is_in_both_or_lost():
    data = Digits(image=False)
    (x, y), (x_val, y_val) = data.train, data.val
    counts, val_counts = y.bincount(minlength=10), y_val.bincount(minlength=10)
    shares = val_counts / (counts + val_counts)
    assert ((shares - 0.2).abs() < 0.006).all()
    pixels, target = read("digits")
    together = torch.cat([x, x_val])
    low, high = together.min(), together.max()
    restored = ((together - low) / (high - low) * 16).round().long()
    rows = torch.cat([restored, torch.cat([y, y_val])[:, None]], 1).tolist()
    assert sorted(rows) == sorted(np.column_stack([pixels, target]).astype(int).tolist())


def test_the_split_depends_on_the_data_s_seed_alone():
    same = Digits(shuffle_seed=5)
    other = Digits(seed=1)
    assert Digits().fingerprint() == same.fingerprint()
    assert Digits().fingerprint() != other.fingerprint()


def test_tokens_are_the_same_images_in_the_same_split():
    images, bags = Digits(image=False), DigitsTokens()
    for (x, y), (tokens, intensity, label) in (
        (images.train, bags.train),
        (images.val, bags.val),
    ):
        assert torch.equal(y, label)
        dense = torch.zeros(len(y), 66).scatter_add_(1, tokens, intensity)
        rescaled = (x - x.min()) / (x.max() - x.min())
        torch.testing.assert_close(dense[:, :64], rescaled, atol=1e-6, rtol=0)
        assert (dense[:, 64] == 1).all()
        assert (dense[:, 65] == 0).all()
        assert ((tokens == 65) == (intensity == 0)).all()
    assert bags.train[0].dtype == torch.int64
    assert bags.train[1].max() == 1


def test_tokens_are_no_longer_than_the_fullest_image_needs():
    pixels, _ = read("digits")
    assert DigitsTokens().train[0].shape == (1437, (pixels > 0).sum(1).max() + 1)


def test_minibatches_of_digits_make_23_steps_an_epoch():
    assert len(Digits().train_dataloader()) == 23
