"""The networks by themselves: shapes, names, where their weights come from, what they refuse."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stepsize.nets import MLP, PixelBag, Quadratic, ResNet, Rosenbrock

LAYER = re.compile(r"^net\.(\w+)\.")

NETS: dict[str, Callable[[], nn.Module]] = {
    "mlp": lambda: MLP([3, 5, 2], norm=True),
    "resnet": lambda: ResNet(width=2),
    "pixel_bag": PixelBag,
    "quadratic": Quadratic,
    "rosenbrock": Rosenbrock,
}


def layers(net: nn.Module) -> list[str]:
    """What the shipped layerwise rule makes of a network, in order."""
    found = (LAYER.match(f"net.{name}") for name, _ in net.named_parameters())
    return list(dict.fromkeys(match[1] for match in found if match))


@pytest.mark.parametrize("name", NETS)
def test_the_global_seed_decides_every_weight(name: str) -> None:
    torch.manual_seed(0)
    first = NETS[name]().state_dict()
    torch.manual_seed(0)
    second = NETS[name]().state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("name", sorted(NETS.keys() - {"rosenbrock"}))
def test_another_global_seed_gives_other_weights(name: str) -> None:
    torch.manual_seed(0)
    first = next(NETS[name]().parameters())
    torch.manual_seed(1)
    assert not torch.equal(first, next(NETS[name]().parameters()))


def test_mlp_layers_have_one_name_each_and_end_in_fc() -> None:
    assert layers(MLP([1, 20, 20, 1], norm=True)) == ["layer1", "layer2", "fc"]


def test_mlp_of_two_widths_is_linear() -> None:
    net = MLP([3, 2])
    x = torch.randn(4, 3)
    torch.testing.assert_close(net(x), x @ net.fc.weight.T + net.fc.bias)


def test_mlp_computes_what_its_layers_say() -> None:
    net = MLP([3, 5, 2], norm=True, activation="tanh")
    x = torch.randn(4, 3)
    hidden = torch.tanh(net.layer1.norm(net.layer1.linear(x)))
    torch.testing.assert_close(net(x), net.fc(hidden))


@pytest.mark.parametrize(
    ("activation", "function"),
    [
        ("relu", torch.relu),
        ("tanh", torch.tanh),
        ("gelu", nn.functional.gelu),
        ("silu", nn.functional.silu),
    ],
)
def test_mlp_uses_the_configured_activation(
    activation: str, function: Callable[[Tensor], Tensor]
) -> None:
    net = MLP([3, 5, 2], activation=activation)
    x = torch.randn(4, 3)
    torch.testing.assert_close(net(x), net.fc(function(net.layer1.linear(x))))


def test_mlp_has_no_norm_unless_asked() -> None:
    assert not any(isinstance(module, nn.LayerNorm) for module in MLP([3, 5, 2]).modules())


def test_mlp_flattens_images() -> None:
    assert MLP([64, 10])(torch.zeros(7, 1, 8, 8)).shape == (7, 10)


def test_resnet_keeps_torchvisions_names() -> None:
    names = set(ResNet(width=2).state_dict())
    assert {
        "conv1.weight",
        "bn1.running_mean",
        "layer1.0.conv1.weight",
        "layer1.0.bn2.bias",
        "layer2.0.downsample.0.weight",
        "layer2.0.downsample.1.weight",
        "layer4.0.conv2.weight",
        "fc.bias",
    } <= names
    assert "conv1.bias" not in names
    assert "layer1.0.downsample.0.weight" not in names


def test_resnet_layers_have_one_name_each_in_order() -> None:
    stem, stages = ["conv1", "bn1"], ["layer1", "layer2", "layer3", "layer4"]
    assert layers(ResNet(width=2)) == [*stem, *stages, "fc"]


def test_resnet_maps_images_to_logits() -> None:
    net = ResNet(in_channels=3, classes=7, width=2, blocks=[1, 2, 1, 3])
    assert net(torch.zeros(5, 3, 8, 8)).shape == (5, 7)
    assert [len(net.get_submodule(f"layer{stage}")) for stage in (1, 2, 3, 4)] == [1, 2, 1, 3]


def test_resnet_convolutions_start_with_fan_out_variance() -> None:
    weight = ResNet(width=32).layer3[0].conv1.weight
    fan_out = len(weight) * 9
    assert weight.shape[1] != len(weight)
    assert weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.01)


@pytest.mark.parametrize("zero", [False, True])
def test_resnet_zeroes_the_last_norm_of_each_block_only_when_asked(zero: bool) -> None:
    net = ResNet(width=2, zero_init_residual=zero)
    assert all((net.get_submodule(f"layer{k}")[0].bn2.weight == 0).all() == zero for k in (1, 4))
    assert (net.layer1[0].bn1.weight == 1).all()


def test_resnet_blocks_add_their_input() -> None:
    block = ResNet(width=2, zero_init_residual=True).layer1[0]
    x = torch.rand(3, 2, 8, 8)
    torch.testing.assert_close(block(x), x)


def test_resnet_learns_a_batch_by_heart() -> None:
    torch.manual_seed(0)
    net, images, classes = ResNet(width=4), torch.randn(32, 1, 8, 8), torch.arange(32) % 10
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(30):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(images), classes).backward()
        optimizer.step()
    assert (net(images).argmax(1) == classes).all()


def bags() -> tuple[Tensor, Tensor]:
    tokens = torch.tensor([[3, 64, 65, 65], [3, 7, 3, 64]])
    return tokens, torch.tensor([[0.5, 1.0, 9.0, 9.0], [0.25, 1.0, 2.0, 1.0]])


def test_pixel_bag_sums_weighted_rows_and_ignores_padding() -> None:
    net = PixelBag()
    rows = net.bag.weight
    expected = torch.stack([0.5 * rows[3] + rows[64], 2.25 * rows[3] + rows[7] + rows[64]])
    torch.testing.assert_close(net(*bags()), expected)


def test_pixel_bag_gradients_are_sparse_right_and_free_of_padding() -> None:
    net = PixelBag()
    net(*bags()).sum().backward()
    gradient = net.bag.weight.grad
    assert gradient.is_sparse
    expected = torch.zeros(66, 10)
    expected[3], expected[7], expected[64] = 2.75, 1.0, 2.0
    torch.testing.assert_close(gradient.to_dense(), expected)


def test_pixel_bag_starts_close_to_zero_with_a_zero_padding_row() -> None:
    weight = PixelBag(tokens=2000, padding_idx=5).bag.weight
    assert weight.std().item() == pytest.approx(0.01, rel=0.05)
    assert (weight[5] == 0).all()
    assert (weight[6] != 0).all()


@pytest.mark.parametrize(
    ("spectrum", "expected"),
    [
        ("geometric", [1, 10, 100]),
        ("linear", [1, 50.5, 100]),
        ([4, 0.5], [4, 0.5]),
    ],
)
@pytest.mark.parametrize("rotate", [False, True])
def test_quadratic_has_the_eigenvalues_it_was_asked_for(
    spectrum: Any, expected: list[float], rotate: bool
) -> None:
    net = Quadratic(dim=3, condition=100, spectrum=spectrum, rotate=rotate)
    assert net.dim == len(expected) == len(net.x)
    assert net.eigenvalues == pytest.approx(expected)
    eigenvalues = torch.linalg.eigvalsh(net.hessian.double())
    torch.testing.assert_close(
        eigenvalues, torch.tensor(sorted(expected)).double(), rtol=1e-5, atol=0
    )


def test_quadratic_value_and_gradient_are_those_of_its_hessian() -> None:
    net = Quadratic(dim=4, condition=10)
    value = net()
    value.backward()
    torch.testing.assert_close(value, 0.5 * net.x @ net.hessian @ net.x)
    torch.testing.assert_close(net.x.grad, net.hessian @ net.x)


def test_quadratic_is_diagonal_unless_rotated() -> None:
    def off_diagonal(net: Quadratic) -> Tensor:
        return net.hessian - net.hessian.diagonal().diag()

    assert (off_diagonal(Quadratic(rotate=False)) == 0).all()
    assert off_diagonal(Quadratic(rotate=True)).abs().max() > 1


def test_quadratic_rotation_depends_on_its_own_seed_only() -> None:
    torch.manual_seed(0)
    first = Quadratic()
    second = Quadratic()
    assert torch.equal(first.root, second.root)
    assert not torch.equal(first.root, Quadratic(seed=1).root)


def test_quadratic_start_does_not_depend_on_its_shape() -> None:
    torch.manual_seed(0)
    first = Quadratic(condition=10, rotate=False).x
    torch.manual_seed(0)
    assert torch.equal(first, Quadratic(condition=1000, rotate=True, seed=5).x)


def test_quadratic_stays_positive_where_single_precision_loses_the_matrix() -> None:
    net = Quadratic(dim=20, condition=1e9)
    along_the_valley = net.root[0] / net.root[0].norm()
    assert net.surface(1e-3 * along_the_valley) > 0


def test_quadratic_checkpoint_does_not_overrule_the_configuration() -> None:
    steep = Quadratic(dim=3, condition=1000)
    steep.load_state_dict(Quadratic(dim=3, condition=10).state_dict())
    assert steep.surface(torch.eye(3)).sum().item() == pytest.approx(
        sum(steep.eigenvalues) / 2, rel=1e-4
    )


@pytest.mark.parametrize("net", [Quadratic(dim=2, condition=9), Rosenbrock()], ids=type)
def test_a_surface_at_the_point_is_the_value_and_maps_whole_grids(net: Any) -> None:
    assert torch.equal(net.surface(net.x), net())
    grid = torch.randn(4, 5, 2)
    values = net.surface(grid)
    assert values.shape == (4, 5)
    torch.testing.assert_close(values[2, 3], net.surface(grid[2, 3]))


@pytest.mark.parametrize(
    ("net", "minimizer"),
    [
        (Quadratic(dim=2, condition=9), [0.0, 0.0]),
        (Rosenbrock(), [1.0, 1.0]),
        (Rosenbrock(a=2, b=5), [2.0, 4.0]),
    ],
)
def test_the_minimum_that_a_surface_names_is_taken_and_never_undercut(
    net: Any, minimizer: list[float]
) -> None:
    assert net.surface(torch.tensor(minimizer)).item() == net.minimum
    around = torch.tensor(minimizer) + torch.randn(1000, 2)
    assert (net.surface(around) > net.minimum).all()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: MLP([3]), "two or more positive integers.* got \\[3\\]"),
        (lambda: MLP([3, 0, 1]), "positive integers"),
        (lambda: MLP([3, 1], activation="swish"), "'swish'; allowed: relu, tanh, gelu, silu"),
        (lambda: ResNet(width=0), "1 or more, got 1, 10 and 0"),
        (lambda: ResNet(blocks=[1, 1, 1]), "four numbers of 1 or more, got \\[1, 1, 1\\]"),
        (lambda: ResNet(blocks=[1, 1, 1, 0]), "four numbers of 1 or more"),
        (lambda: PixelBag(tokens=0), "1 or more, got 0 and 10"),
        (lambda: PixelBag(tokens=66, padding_idx=66), "0 ... 65, got 66"),
        (lambda: Quadratic(dim=0), "dim must be .* got 0"),
        (lambda: Quadratic(condition=0.5), "condition must be .* got 0.5"),
        (lambda: Quadratic(condition=float("nan")), "condition must be .* got nan"),
        (lambda: Quadratic(dim=1), "one eigenvalue, so condition must be 1, got 100"),
        (lambda: Quadratic(spectrum="flat"), "'flat'; allowed: geometric, linear"),
        (lambda: Quadratic(spectrum=[]), "one or more positive numbers, got \\[\\]"),
        (lambda: Quadratic(spectrum=[1, -1]), "positive numbers, got \\[1.0, -1.0\\]"),
        (lambda: Rosenbrock(start=[1]), "two numbers, got \\[1\\]"),
        (lambda: Rosenbrock(b=0), "b must be positive, got 0"),
    ],
)
def test_bad_arguments_are_refused_with_what_is_allowed(
    build: Callable[[], nn.Module], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        build()
