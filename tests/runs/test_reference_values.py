"""torch.optim on our surfaces against textbook results that this project did not make."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from stepsize.nets import Quadratic, Rosenbrock


@pytest.fixture(autouse=True)
def _double_precision() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


def distances(net: Quadratic, optimizer: torch.optim.Optimizer, steps: int) -> list[float]:
    """Distance to the minimum before the first step and after each."""
    norms = [net.x.norm().item()]
    for _ in range(steps):
        optimizer.zero_grad()
        net().backward()
        optimizer.step()
        norms.append(net.x.norm().item())
    return norms


@pytest.mark.parametrize("condition", [2.0, 10.0, 100.0])
@pytest.mark.parametrize("rotate", [False, True])
def test_gradient_descent_shrinks_the_error_by_its_textbook_rate(
    condition: float, rotate: bool
) -> None:
    # With the two extreme eigenvalues alone the rate is exact from the first step on.
    net = Quadratic(dim=2, condition=condition, rotate=rotate)
    optimizer = torch.optim.SGD(net.parameters(), lr=2 / (condition + 1))
    norms = distances(net, optimizer, steps=20)
    rate = (condition - 1) / (condition + 1)
    assert [after / before for before, after in pairwise(norms)] == (
        pytest.approx([rate] * 20, rel=1e-10)
    )


@pytest.mark.parametrize("spectrum", ["geometric", "linear"])
def test_gradient_descent_settles_at_the_rate_of_the_extreme_eigenvalues(spectrum: str) -> None:
    net = Quadratic(dim=10, condition=30, spectrum=spectrum)
    optimizer = torch.optim.SGD(net.parameters(), lr=2 / 31)
    norms = distances(net, optimizer, steps=300)
    assert (norms[300] / norms[200]) ** (1 / 100) == pytest.approx(29 / 31, rel=1e-5)


@pytest.mark.parametrize("condition", [10.0, 100.0])
@pytest.mark.parametrize("rotate", [False, True])
def test_heavy_ball_shrinks_the_error_by_its_textbook_rate(condition: float, rotate: bool) -> None:
    root = condition**0.5
    rate = (root - 1) / (root + 1)
    net = Quadratic(dim=2, condition=condition, rotate=rotate)
    optimizer = torch.optim.SGD(net.parameters(), lr=(2 / (root + 1)) ** 2, momentum=rate**2)
    first, last = 200, 400
    norms = distances(net, optimizer, steps=last)
    measured = (norms[last] / norms[first]) ** (1 / (last - first))
    # Both extreme eigenvalues give a double root: the error falls as n * rate^n.
    measured /= (last / first) ** (1 / (last - first))
    assert measured == pytest.approx(rate, rel=2e-4)


@pytest.mark.parametrize(("curvature", "lr"), [(1.0, 0.1), (1.0, 0.8), (4.0, 0.3)])
def test_sgd_under_additive_noise_has_its_textbook_variance(curvature: float, lr: float) -> None:
    sigma, dim, burn_in, steps = 0.5, 400, 300, 2000
    net = Quadratic(spectrum=[curvature] * dim, rotate=False)
    optimizer = torch.optim.SGD(net.parameters(), lr=lr)
    total = 0.0
    for step in range(steps):
        optimizer.zero_grad()
        net().backward()
        net.x.grad += sigma * torch.randn(dim)
        optimizer.step()
        if step >= burn_in:
            total += net.x.detach().square().mean().item()
    expected = lr * sigma**2 / (curvature * (2 - lr * curvature))
    assert total / (steps - burn_in) == pytest.approx(expected, rel=0.02)


def test_adams_first_step_is_the_rate_times_the_gradients_sign() -> None:
    net = Quadratic(dim=50, condition=1e4)
    before = net.x.detach().clone()
    net().backward()
    torch.optim.Adam(net.parameters(), lr=0.01, eps=1e-300).step()
    torch.testing.assert_close(before - net.x.detach(), 0.01 * net.x.grad.sign())


def test_rosenbrock_at_its_classic_start_is_24_2() -> None:
    assert Rosenbrock()().item() == pytest.approx(24.2, rel=1e-14)


def test_rosenbrocks_hessian_at_the_optimum_has_its_textbook_eigenvalues() -> None:
    hessian = torch.autograd.functional.hessian(Rosenbrock().surface, torch.ones(2))
    assert isinstance(hessian, Tensor)
    assert torch.linalg.eigvalsh(hessian).tolist() == pytest.approx([0.39936, 1001.6], rel=1e-5)


def test_rosenbrock_descends_to_its_known_minimum() -> None:
    net = Rosenbrock()
    optimizer = torch.optim.LBFGS(
        net.parameters(),
        max_iter=200,
        tolerance_grad=1e-10,
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = net()
        value.backward()
        return value

    optimizer.step(closure)
    assert net().item() == pytest.approx(net.minimum, abs=1e-16)
    torch.testing.assert_close(net.x.detach(), torch.ones(2), rtol=0, atol=1e-6)
