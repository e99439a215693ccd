"""Gradient noise in place of data."""

import pytest
import torch

from stepsize.data import GradientNoise


def _epochs(count, **arguments):
    stream = GradientNoise(4, **arguments).train_dataloader()
    return torch.stack([noise for _ in range(count) for (noise,) in stream])


def test_noise_has_the_deviation_asked_for_and_no_correlation_between_steps():
    noise = _epochs(50, sigma=0.3)
    assert noise.shape == (5000, 4)
    assert noise.mean().item() == pytest.approx(0, abs=0.01)
    assert noise.std().item() == pytest.approx(0.3, rel=0.02)
    neighbours = (noise[1:] * noise[:-1]).mean() / noise.var()
    assert neighbours.item() == pytest.approx(0, abs=0.03)
    assert len(noise.unique()) > 0.99 * noise.numel()


def test_noise_is_a_function_of_the_seed():
    assert torch.equal(_epochs(2, sigma=1.0, shuffle_seed=0), _epochs(2, sigma=1.0, shuffle_seed=0))
    assert not torch.equal(
        _epochs(2, sigma=1.0, shuffle_seed=0), _epochs(2, sigma=1.0, shuffle_seed=1)
    )


def test_noise_scales_with_sigma_so_that_runs_differ_in_nothing_else():
    torch.testing.assert_close(_epochs(2, sigma=2.0), 2 * _epochs(2, sigma=1.0))


def test_without_sigma_the_noise_is_zero():
    noise = _epochs(1, sigma=0.0)
    assert noise.shape == (100, 4)
    assert not noise.any()


def test_noise_looks_like_a_full_batch_without_validation():
    data = GradientNoise(4)
    assert data.full_batch
    assert not data.val_dataloader()


@pytest.mark.parametrize("position", [1, 100, 101, 150])
def test_a_loaded_position_continues_with_the_next_noise(position):
    whole = _epochs(3, sigma=1.0)
    stream = GradientNoise(4, sigma=1.0).train_dataloader()
    stream.load_state_dict({"position": position})
    assert torch.equal(next(iter(stream))[0], whole[position])


@pytest.mark.parametrize("arguments", [{"sigma": -0.1}, {"sigma": float("inf")}, {"dim": 0}])
def test_numbers_out_of_range_are_refused(arguments):
    with pytest.raises(ValueError, match=rf"data\.{next(iter(arguments))}="):
        GradientNoise(**{"dim": 4, **arguments})
