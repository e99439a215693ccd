"""Every optimizer trains every compatible task through the Trainer, and reduces its loss."""

import pytest
from every_pair import COMPATIBLE, INCOMPATIBLE, check_loss_falls


@pytest.mark.parametrize(("optimizer", "task"), COMPATIBLE)
def test_the_optimizer_reduces_the_tasks_loss(run, optimizer, task):
    check_loss_falls(run, optimizer, task, steps=40)


@pytest.mark.parametrize(("optimizer", "task"), sorted(INCOMPATIBLE))
def test_an_incompatible_pair_ends_before_training_with_a_sentence(run, optimizer, task):
    with pytest.raises(ValueError, match=INCOMPATIBLE[optimizer, task]) as raised:
        run(f"task={task}", f"optimizer={optimizer}")
    message = str(raised.value)
    assert "\n" not in message
    assert "task" in message or "optimizer=" in message
