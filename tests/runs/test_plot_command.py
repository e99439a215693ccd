"""``python -m stepsize plot``: the plot of a run, drawn again from its folder."""

import pytest

from stepsize.__main__ import main


@pytest.mark.parametrize("task", ["line", "rosenbrock"])
def test_it_draws_the_plot_that_the_run_drew(run, task, capsys):
    folder = run(f"task={task}", "trainer.max_steps=20", "optimizer=sgd").folder
    (drawn,) = folder.glob("*.png")
    before = drawn.read_bytes()
    drawn.unlink()
    capsys.readouterr()
    main(["plot", str(folder)])
    assert capsys.readouterr().out == f"{drawn}\n"
    assert drawn.read_bytes() == before


def test_it_draws_a_run_that_was_trained_without_plots(run):
    folder = run("task=line", "trainer.max_steps=20", "plots=false").folder
    main(["plot", str(folder)])
    assert (folder / "fit.png").exists()


def test_a_trajectory_without_its_path_is_refused(run):
    folder = run("task=rosenbrock", "trainer.max_steps=20", "plots=false").folder
    with pytest.raises(SystemExit, match="plots=true"):
        main(["plot", str(folder)])
    assert not list(folder.glob("*.png"))
