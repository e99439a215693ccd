"""The made-up data sets."""

import numpy as np
import pytest
import torch

from stepsize.data import Blobs, Curve, Digits, DigitsTokens, GradientNoise, Line

SEEDED = {
    "curve": lambda: Curve(),
    "blobs": lambda: Blobs(),
    "digits": lambda: Digits(),
    "digits_tokens": lambda: DigitsTokens(),
    "gradient_noise": lambda: GradientNoise(3, 0.1),
}


@pytest.mark.parametrize("name", SEEDED)
def test_data_do_not_depend_on_global_generators_and_leave_them_alone(name):
    prints = set()
    for seed in (0, 1):
        torch.manual_seed(seed)
        np.random.seed(seed)
        torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
        data = SEEDED[name]()
        prints.add(data.fingerprint())
        list(data.train_dataloader())
        assert torch.equal(torch.get_rng_state(), torch_before)
        assert (np.random.get_state()[1] == numpy_before).all()
    assert len(prints) == 1


def test_line_is_the_fifteen_points():
    x, y = Line().train
    assert x.shape == y.shape == (15, 1)
    assert (x[6].item(), y[6].item()) == pytest.approx((9.779, 3.366))
    assert x.double().sum().item() == pytest.approx(93.448, abs=1e-5)
    assert y.double().sum().item() == pytest.approx(34.84, abs=1e-5)
    assert Line().val is None


def test_curve_is_a_parabola_with_the_noise_asked_for():
    for x, y in (Curve(points=4000).train, Curve(points=4000).val):
        assert x.shape == y.shape == (4000, 1)
        assert x.dtype == y.dtype == torch.float32
        assert x.min() >= -1
        assert x.max() <= 1
        assert x.mean().item() == pytest.approx(0, abs=0.05)
        residual = y - x**2
        assert residual.mean().item() == pytest.approx(0, abs=0.01)
        assert residual.std().item() == pytest.approx(0.1, rel=0.05)


def test_curve_without_noise_is_exact():
    x, y = Curve(noise=0).train
    torch.testing.assert_close(y, x**2)


def test_blobs_are_two_clouds_around_their_centres():
    x, y = Blobs(points_per_class=2000).train
    assert x.shape == (4000, 2)
    assert y.dtype == torch.int64
    assert y.bincount().tolist() == [2000, 2000]
    for label, centre in ((1, 2.7), (0, -0.7)):
        torch.testing.assert_close(
            x[y == label].mean(0), torch.full((2,), centre), atol=0.1, rtol=0
        )
        torch.testing.assert_close(x[y == label].std(0), torch.ones(2), atol=0.1, rtol=0)


@pytest.mark.parametrize("make", [Curve, Blobs])
def test_validation_is_as_large_as_training_and_shares_no_point(make):
    data = make()
    (train, _), (val, _) = data.train, data.val
    assert train.shape == val.shape
    assert not set(map(tuple, train.tolist())) & set(map(tuple, val.tolist()))


@pytest.mark.parametrize("make", [Curve, Blobs])
def test_another_data_seed_gives_other_data(make):
    assert make(seed=0).fingerprint() != make(seed=1).fingerprint()


def _separation_gap(x, y):
    """Newton on the logistic loss; what is left of the gradient, relative to its terms.

    The gradient is a sum of points with weights of one sign per class. Where it vanishes with
    weights that do not, no line separates the classes (Gordan's theorem of the alternative).
    """
    points = torch.cat([x, torch.ones(len(x), 1)], 1).double()
    weights = torch.zeros(3, dtype=torch.float64)
    for _ in range(40):
        p = torch.sigmoid(points @ weights)
        hessian = (points * (p * (1 - p))[:, None]).T @ points
        weights -= torch.linalg.lstsq(hessian, points.T @ (p - y)).solution
    residual = torch.sigmoid(points @ weights) - y
    return ((points.T @ residual).norm() / (points * residual[:, None]).norm()).item()


def test_no_line_separates_the_default_blobs():
    assert _separation_gap(*Blobs().train) < 1e-10


def test_a_line_separates_the_blobs_of_seed_three():
    assert _separation_gap(*Blobs(seed=3).train) > 1e-3
