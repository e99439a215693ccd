"""Every optimizer trains every task that it can take, and reduces its loss."""

import pytest
from conftest import names

SPARSE_ONLY = "SparseAdam takes sparse gradients only"
DENSE_ONLY = "does not take sparse gradients"
NO_MATRIX = "params: there is nothing for Muon"

# What cannot be: the optimizer, the tasks, and the sentence that ends the run before training.
DENSE_TASKS = [task for task in names("task") if task != "digits_sparse"]
REFUSED = {
    **{("sparse_adam", task): SPARSE_ONLY for task in DENSE_TASKS},
    **{("muon", task): NO_MATRIX for task in ("quadratic", "rosenbrock")},
    **{
        (optimizer, "digits_sparse"): DENSE_ONLY
        for optimizer in (
            "adadelta", "adafactor", "adam", "adamax", "adamw", "asgd", "muon", "nadam", "radam",
            "rmsprop", "rprop", "lion", "schedulefree_adamw", "sophia",
        )
    },
}  # fmt: skip

# What needs more than its file's values, and why.
STEEP = "at (-1.2, 1) the gradient is 233 long, and the file's rate of 1e-2 throws the point out"
NOISY = "minibatches change the function between steps: LBFGS then needs short, searched steps"
WORDS = {
    ("asgd", "rosenbrock"): (["optimizer.lr=1e-4"], STEEP),
    ("sam", "rosenbrock"): (["optimizer.lr=1e-4"], STEEP),
    **{
        ("lbfgs", task): (
            ["optimizer.line_search_fn=strong_wolfe", "optimizer.max_iter=3", "optimizer.lr=0.1"],
            NOISY,
        )
        for task in ("digits", "digits_mlp", "digits_sparse")
    },
}

PAIRS = [(optimizer, task) for optimizer in names("optimizer") for task in names("task")]


@pytest.mark.parametrize(("optimizer", "task"), [pair for pair in PAIRS if pair not in REFUSED])
def test_the_optimizer_reduces_the_tasks_loss(run, optimizer, task):
    words, _ = WORDS.get((optimizer, task), ([], ""))
    finished = run(
        f"task={task}",
        f"optimizer={optimizer}",
        "trainer.max_steps=40",
        "trainer.val_check_interval=20",
        "callbacks.plot=null",
        *words,
    )
    result = finished.result
    assert result["status"] == "completed", result["reason"]
    assert result["steps"] == 40
    start = result["metrics"]["train/loss"]["first"]
    end = result["metrics"].get("val/loss", result["metrics"]["train/loss"])["final"]
    assert end < start
    assert finished.checkpoint["global_step"] == 40


@pytest.mark.parametrize(("optimizer", "task"), sorted(REFUSED))
def test_a_pair_that_cannot_be_ends_before_training_with_a_sentence(run, optimizer, task):
    with pytest.raises(ValueError, match=REFUSED[optimizer, task]) as raised:
        run(f"task={task}", f"optimizer={optimizer}")
    message = str(raised.value)
    assert "\n" not in message
    assert "task" in message or "optimizer=" in message
