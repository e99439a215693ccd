"""Which optimizer can train which task, and the overrides that some pairs need."""

from conftest import names

SPARSE_ONLY = "SparseAdam takes sparse gradients only"
DENSE_ONLY = "does not take sparse gradients"
NO_MATRIX = "params: there is nothing for Muon"

# Incompatible: the optimizer, the task, and the sentence that ends the run before training.
DENSE_TASKS = [task for task in names("task") if task != "digits_sparse"]
INCOMPATIBLE = {
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

# At (-1.2, 1) the gradient is 233 long: the file's learning rate of 1e-2 diverges.
STEEP = ("optimizer.lr=1e-4",)
# Minibatches change the function between steps: LBFGS then needs short, searched steps.
NOISY = ("optimizer.line_search_fn=strong_wolfe", "optimizer.max_iter=3", "optimizer.lr=0.1")
OVERRIDES = {
    ("asgd", "rosenbrock"): STEEP,
    ("sam", "rosenbrock"): STEEP,
    **{("lbfgs", task): NOISY for task in ("digits", "digits_mlp", "digits_sparse")},
}

COMPATIBLE = [
    (optimizer, task)
    for optimizer in names("optimizer")
    for task in names("task")
    if (optimizer, task) not in INCOMPATIBLE
]


def check_loss_falls(run, optimizer: str, task: str, steps: int) -> None:
    """Train in this process, and compare the last loss with the first."""
    finished = run(
        f"task={task}",
        f"optimizer={optimizer}",
        f"trainer.max_steps={steps}",
        f"trainer.val_check_interval={steps // 2}",
        "callbacks.plot=null",
        *OVERRIDES.get((optimizer, task), ()),
    )
    result = finished.result
    assert result["status"] == "completed", result["reason"]
    assert result["steps"] == steps
    metrics = result["metrics"]
    assert metrics.get("val/loss", metrics["train/loss"])["final"] < metrics["train/loss"]["first"]
    assert finished.checkpoint["global_step"] == steps
