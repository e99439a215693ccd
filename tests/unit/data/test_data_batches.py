"""Loaders over tensors: what they give, in which order, and what they refuse."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stepsize.data import TensorBatches
from stepsize.data.batches import epoch_seed

POINTS = torch.arange(18)


def _epoch(loader):
    return [batch[0].tolist() for batch in loader]


def _flat(batches):
    return [point for batch in batches for point in batch]


@settings(deadline=None, max_examples=50)
@given(n=st.integers(1, 40), size=st.integers(1, 40), seed=st.integers(0, 2**70))
def test_every_epoch_gives_every_point_once_and_keeps_the_smaller_last_batch(n, size, seed):
    size = min(size, n)
    loader = TensorBatches((torch.arange(n),), size, shuffle_seed=seed)
    for _ in range(2):
        batches = _epoch(loader)
        assert sorted(_flat(batches)) == list(range(n))
        assert [len(batch) for batch in batches] == [size] * (n // size) + [n % size] * (
            n % size > 0
        )
        assert len(batches) == len(loader)


def test_inputs_and_targets_stay_together():
    loader = TensorBatches((POINTS, POINTS * 10, POINTS.float()[:, None]), 4)
    for x, y, z in loader:
        assert torch.equal(x * 10, y)
        assert torch.equal(x.float(), z[:, 0])


def test_each_epoch_has_its_own_order():
    loader = TensorBatches((POINTS,), 4)
    orders = [_flat(_epoch(loader)) for _ in range(5)]
    assert len({tuple(order) for order in orders}) == 5


def test_the_order_is_the_same_for_equal_seeds_and_differs_otherwise():
    first, again, other = (_epoch(TensorBatches((POINTS,), 4, shuffle_seed=s)) for s in (0, 0, 1))
    assert first == again
    assert first != other


def test_the_order_does_not_touch_the_global_generator():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    list(TensorBatches((POINTS,), 4))
    assert torch.equal(torch.get_rng_state(), before)


def test_the_order_is_pinned_across_versions():
    assert epoch_seed(0, 0) == 3757552657
    assert _epoch(TensorBatches((torch.arange(6),), 3)) == [[2, 4, 1], [3, 5, 0]]


def test_neighbouring_seeds_do_not_share_epochs():
    seeds = [epoch_seed(order, epoch) for order in range(50) for epoch in range(50)]
    assert len(set(seeds)) == 2500


def test_a_seed_above_32_bits_is_not_a_later_epoch_of_a_small_one():
    assert epoch_seed(2**32 + 5, 0) != epoch_seed(5, 1)


@pytest.mark.parametrize("position", range(12))
def test_a_loaded_position_continues_with_the_next_batch(position):
    whole = TensorBatches((POINTS,), 4, shuffle_seed=3)
    stream = [batch for _ in range(4) for batch in _epoch(whole)]
    resumed = TensorBatches((POINTS,), 4, shuffle_seed=3)
    resumed.load_state_dict({"position": position})
    assert _epoch(resumed) == stream[position : position + 5]


def test_the_state_counts_a_batch_while_it_is_being_used():
    loader = TensorBatches((POINTS,), 4)
    assert [loader.state_dict()["position"] for _ in loader] == [1, 2, 3, 4, 5]


def test_leaving_an_epoch_early_continues_with_the_next_batch():
    whole = _epoch(TensorBatches((POINTS,), 4))
    loader = TensorBatches((POINTS,), 4)
    for _ in zip(range(2), loader, strict=False):
        pass
    assert next(iter(loader))[0].tolist() == whole[2]


def test_full_batches_are_the_same_tuple_uncopied():
    tensors = (POINTS, POINTS * 10)
    batches = list(TensorBatches(tensors, None, steps_per_epoch=7))
    assert len(batches) == 7
    assert all(batch is tensors for batch in batches)


def test_batches_are_views_of_one_gather_per_epoch():
    batches = list(TensorBatches((POINTS,), 4))
    assert len({batch[0].untyped_storage().data_ptr() for batch in batches}) == 1


def test_unshuffled_batches_start_at_the_first_point_in_every_iteration():
    loader = TensorBatches((POINTS,), 4, shuffle=False)
    next(iter(loader))
    assert _flat(_epoch(loader)) == POINTS.tolist()
    assert _flat(_epoch(loader)) == POINTS.tolist()


@pytest.mark.skipif(
    not torch.cuda.is_available(), reason="needs an NVIDIA GPU and a torch built for CUDA"
)
def test_the_order_is_the_same_on_cuda():
    on_cpu = TensorBatches((POINTS,), 4)
    on_cuda = TensorBatches((POINTS.cuda(),), 4)
    assert _epoch(on_cuda) == _epoch(on_cpu)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, r"data\.batch_size=0: give a whole number from 1 to 18, or null"),
        ({"batch_size": 19}, "from 1 to 18"),
        ({"batch_size": 4.0}, r"data\.batch_size=4\.0"),
        ({"batch_size": True}, r"data\.batch_size=True"),
        ({"steps_per_epoch": 0}, r"data\.steps_per_epoch=0: give a whole number from 1 up"),
        ({"shuffle_seed": -1}, r"data\.shuffle_seed=-1: give a whole number from 0 up"),
    ],
)
def test_numbers_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        TensorBatches((POINTS,), **arguments)


@pytest.mark.parametrize("tensors", [(), (POINTS, POINTS[:3]), (POINTS[:0],)])
def test_tensors_without_a_common_length_are_refused(tensors):
    with pytest.raises(ValueError, match="one first dimension"):
        TensorBatches(tensors)
