"""Known minima against other ways to find them, and against their own neighbourhoods."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from stepsize.optima.solve import Optimum, least_squares, logistic

LINE_X = "3.4 5.4 6.71 6.89 6.93 4.16 9.779 6.182 7.59 2.167 7.042 10.791 5.31 7.997 3.1"
LINE_Y = "1.7 2.76 2.09 3.19 1.694 1.573 3.366 2.596 2.53 1.221 2.87 3.45 1.6 2.9 1.3"


def column(text: str) -> Tensor:
    return torch.tensor([float(word) for word in text.split()], dtype=torch.float64)[:, None]


def normal(seed: int, *shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def overlapping(seed: int, n: int = 60, d: int = 3) -> tuple[Tensor, Tensor]:
    x = normal(seed, n, d)
    return x, (x[:, 0] + 1.5 * normal(seed + 1000, n) > 0).double()


def regression_loss(x: Tensor, y: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return functional.mse_loss(functional.linear(x, weight, bias), y)


def logistic_loss(x: Tensor, y: Tensor, l2: float, weight: Tensor, bias: Tensor) -> Tensor:
    logits = functional.linear(x, weight, bias)[:, 0]
    loss = functional.binary_cross_entropy_with_logits(logits, y)
    return loss + l2 / 2 * weight.square().sum()


def test_least_squares_on_the_line_points_is_numpys_straight_line() -> None:
    x, y = column(LINE_X), column(LINE_Y)
    found = least_squares(x, y)
    slope, intercept = np.polyfit(x[:, 0].numpy(), y[:, 0].numpy(), 1)
    assert found.weight.item() == pytest.approx(slope, rel=1e-12)
    assert found.bias.item() == pytest.approx(intercept, rel=1e-12)
    residual = slope * x.numpy() + intercept - y.numpy()
    assert found.value == pytest.approx(np.mean(residual**2), rel=1e-12)


def test_least_squares_of_many_outputs_is_numpys_lstsq() -> None:
    x, y = normal(0, 50, 4) + 3, normal(1, 50, 2)
    found = least_squares(x, y)
    design = np.column_stack([x.numpy(), np.ones(50)])
    solution, squares, *_ = np.linalg.lstsq(design, y.numpy(), rcond=None)
    np.testing.assert_allclose(found.weight.numpy(), solution[:-1].T, rtol=1e-10)
    np.testing.assert_allclose(found.bias.numpy(), solution[-1], rtol=1e-10)
    assert found.value == pytest.approx(squares.sum() / 100, rel=1e-12)


def test_least_squares_of_too_few_rows_fits_them_all() -> None:
    x, y = normal(0, 3, 5), normal(1, 3, 1)
    assert least_squares(x, y).value < 1e-28


def test_least_squares_takes_the_smallest_weight_among_equals() -> None:
    x, y = normal(0, 20, 1), normal(1, 20, 1)
    single, double = least_squares(x, y), least_squares(torch.cat([x, x], 1), y)
    assert double.value == pytest.approx(single.value, rel=1e-12)
    torch.testing.assert_close(double.weight, single.weight.repeat(1, 2) / 2)


def test_least_squares_of_single_precision_data_is_solved_in_double() -> None:
    x, y = normal(0, 20, 2).float(), normal(1, 20, 1).float()
    found = least_squares(x, y)
    assert found.weight.dtype == found.bias.dtype == torch.float64
    assert found.value == least_squares(x.double(), y.double()).value


def gradient_at(found: Optimum, loss_at: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    weight, bias = found.weight.clone().requires_grad_(), found.bias.clone().requires_grad_()
    loss_at(weight, bias).backward()
    return torch.cat([weight.grad.flatten(), bias.grad])


@pytest.mark.parametrize("seed", range(3))
def test_least_squares_gradient_vanishes_at_the_optimum(seed: int) -> None:
    x, y = normal(seed, 40, 3) + 2, normal(seed + 1, 40, 2)
    found = least_squares(x, y)
    gradient = gradient_at(found, lambda weight, bias: regression_loss(x, y, weight, bias))
    assert gradient.norm() < 1e-12
    assert found.gradient_norm < 1e-12


@pytest.mark.parametrize("l2", [0.0, 1e-4, 0.1])
@pytest.mark.parametrize("seed", range(3))
def test_logistic_gradient_vanishes_at_the_optimum(seed: int, l2: float) -> None:
    x, y = overlapping(seed)
    x = x + 2
    found = logistic(x, y, l2)
    gradient = gradient_at(found, lambda weight, bias: logistic_loss(x, y, l2, weight, bias))
    assert gradient.norm() < 1e-12
    assert found.gradient_norm < 1e-12


offsets = st.lists(st.floats(-1, 1), min_size=4, max_size=4).filter(lambda v: np.dot(v, v) > 1e-4)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 5), offset=offsets)
def test_no_neighbour_of_the_least_squares_optimum_is_lower(seed: int, offset: list) -> None:
    x, y = normal(seed, 30, 3), normal(seed + 1, 30, 1)
    found = least_squares(x, y)
    shift = torch.tensor(offset, dtype=torch.float64)
    value = regression_loss(x, y, found.weight + shift[:3], found.bias + shift[3:])
    assert value.item() > found.value


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 5), offset=offsets, l2=st.sampled_from([0.0, 0.01, 1.0]))
def test_no_neighbour_of_the_logistic_optimum_is_lower(seed: int, offset: list, l2: float) -> None:
    x, y = overlapping(seed)
    found = logistic(x, y, l2)
    shift = torch.tensor(offset, dtype=torch.float64)
    value = logistic_loss(x, y, l2, found.weight + shift[:3], found.bias + shift[3:])
    assert value.item() > found.value


@pytest.mark.parametrize("l2", [0.0, 1e-3, 1.0])
def test_newton_agrees_with_lbfgs(l2: float) -> None:
    x, y = overlapping(7, n=200)
    weight = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weight, bias],
        max_iter=500,
        tolerance_grad=1e-12,
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = logistic_loss(x, y, l2, weight, bias)
        loss.backward()
        return loss

    optimizer.step(closure)
    found = logistic(x, y, l2)
    assert found.value == pytest.approx(closure().item(), abs=1e-14)
    torch.testing.assert_close(found.weight, weight.detach(), rtol=0, atol=1e-8)
    torch.testing.assert_close(found.bias, bias.detach(), rtol=0, atol=1e-8)


def test_without_inputs_that_matter_the_logistic_optimum_is_the_entropy_of_the_labels() -> None:
    found = logistic(torch.zeros(4, 1), torch.tensor([0, 0, 0, 1]))
    entropy = -(0.25 * np.log(0.25) + 0.75 * np.log(0.75))
    assert found.value == pytest.approx(entropy, rel=1e-14)
    assert found.bias.item() == pytest.approx(np.log(1 / 3), rel=1e-12)


@pytest.mark.parametrize("l2", [0.0, 0.1])
def test_the_columns_scales_and_places_do_not_matter_to_newton(l2: float) -> None:
    x, y = overlapping(3)
    scale, place = torch.tensor([1e-4, 1.0, 1e4]), torch.tensor([5.0, -50.0, 1e5])
    if l2:
        scale = torch.ones(3)
    expected, found = logistic(x, y, l2), logistic(x * scale + place, y, l2)
    assert found.value == pytest.approx(expected.value, rel=1e-12)
    torch.testing.assert_close(found.weight * scale, expected.weight, rtol=1e-6, atol=1e-8)


def test_newton_is_damped_where_full_steps_would_diverge() -> None:
    rows = (
        "0.8 13.2 1.8 0.1 0 3.8 42.9 0.4 32.8 0.1 0 0 0 1.4 0.2 0 22.1 1.7 63.4 0.6 199.3 0.3 0.9 0"
    )
    x, y = column(rows).reshape(8, 3), torch.tensor([0, 0, 1, 0, 1, 1, 0, 1]).double()
    found = logistic(x, y)
    assert found is not None
    gradient = gradient_at(found, lambda weight, bias: logistic_loss(x, y, 0.0, weight, bias))
    assert gradient.norm() < 1e-12


SEPARABLE = {
    "completely": ([[0], [1], [2], [3]], [0, 0, 1, 1]),
    "sharing the boundary": ([[0], [1], [1], [2]], [0, 0, 1, 1]),
    "by one column, mixed on its boundary": (
        [[1, 3], [1, 2], [0, 3], [1, 3], [2, 1], [1, 1], [0, 1], [2, 1]],
        [0, 1, 0, 0, 1, 0, 0, 1],
    ),
    "more columns than rows": ([[1, 0, 2], [0, 1, 1]], [0, 1]),
    "one class only": ([[0], [1]], [1, 1]),
}


@pytest.mark.parametrize("case", SEPARABLE)
def test_separable_data_have_no_logistic_optimum(case: str) -> None:
    x, y = SEPARABLE[case]
    assert logistic(torch.tensor(x).float(), torch.tensor(y)) is None


@pytest.mark.parametrize("case", sorted(SEPARABLE.keys() - {"one class only"}))
def test_a_penalty_makes_the_optimum_of_separable_data_finite(case: str) -> None:
    x, y = torch.tensor(SEPARABLE[case][0]).double(), torch.tensor(SEPARABLE[case][1]).double()
    found = logistic(x, y, l2=1e-3)
    gradient = gradient_at(found, lambda weight, bias: logistic_loss(x, y, 1e-3, weight, bias))
    assert gradient.norm() < 1e-12


def test_a_penalty_does_not_hold_the_bias_of_a_single_class() -> None:
    assert logistic(torch.tensor([[0.0], [1.0]]), torch.tensor([1, 1]), l2=1.0) is None


@pytest.mark.parametrize("overlap", [1e-1, 1e-3, 1e-6, 1e-9])
def test_a_small_overlap_still_has_an_optimum(overlap: float) -> None:
    x = torch.tensor([[0.0], [1 + overlap], [1.0], [2.0]], dtype=torch.float64)
    y = torch.tensor([0.0, 0.0, 1.0, 1.0], dtype=torch.float64)
    found = logistic(x, y)
    assert found is not None
    assert found.gradient_norm < 1e-12
    again = logistic_loss(x, y, 0.0, found.weight, found.bias).item()
    assert found.value == pytest.approx(again, rel=1e-13)


def test_a_far_outlier_does_not_pass_for_separation() -> None:
    x = torch.tensor([[0.0], [1], [2], [3], [1], [2], [1e6]], dtype=torch.float64)
    found = logistic(x, torch.tensor([0, 1, 0, 1, 0, 1, 1]))
    without = logistic(x[:-1], torch.tensor([0, 1, 0, 1, 0, 1]))
    assert found.value == pytest.approx(without.value * 6 / 7, rel=1e-8)


def separable_on_a_line(x: list[int], y: list[int]) -> bool:
    """In one dimension: one class, or the classes share at most a point, and x is not constant."""
    zeros = [value for value, label in zip(x, y, strict=True) if label == 0]
    ones = [value for value, label in zip(x, y, strict=True) if label == 1]
    if not zeros or not ones:
        return True
    apart = max(zeros) <= min(ones) or max(ones) <= min(zeros)
    return apart and len(set(x)) > 1


def test_every_small_labelled_set_on_a_line_is_judged_right() -> None:
    for x in itertools.combinations_with_replacement(range(3), 4):
        for y in itertools.product([0, 1], repeat=4):
            found = logistic(torch.tensor(x)[:, None].double(), torch.tensor(y))
            assert (found is None) == separable_on_a_line(list(x), list(y)), (x, y)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: least_squares(torch.zeros(3), torch.zeros(3, 1)), "expected a .*matrix.* \\[3\\]"),
        (lambda: least_squares(torch.zeros(3, 1), torch.zeros(2, 1)), "x has 3 rows, y has 2"),
        (lambda: least_squares(torch.zeros(0, 1), torch.zeros(0, 1)), "non-empty"),
        (lambda: least_squares(torch.full((2, 1), np.inf), torch.zeros(2, 1)), "not finite"),
        (lambda: logistic(torch.zeros(3, 1), torch.zeros(3, 1)), "one label for each of the 3"),
        (lambda: logistic(torch.zeros(2, 1), torch.tensor([1, 2])), "0 or 1, got \\[1.0, 2.0\\]"),
        (lambda: logistic(torch.zeros(2, 1), torch.tensor([0, 1]), -1), "0 or more, got -1"),
    ],
)
def test_data_that_are_not_a_regression_problem_are_refused(
    call: Callable[[], object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        call()
