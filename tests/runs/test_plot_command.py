"""``python -m stepsize plot``: the plots of runs, drawn again from their folders."""

import pytest

from stepsize.__main__ import main


@pytest.mark.parametrize(
    "words",
    [
        ("task=line", "optimizer=sgd"),
        ("task=rosenbrock", "optimizer=lbfgs"),
        ("task=quadratic", "optimizer=sgd", "trainer.precision=64-true"),
    ],
    ids=["line", "rosenbrock", "float64"],
)
def test_it_draws_the_plot_that_the_run_drew(run, words, capsys):
    folder = run(*words, "trainer.max_steps=20").folder
    (drawn,) = folder.glob("*.png")
    before = drawn.read_bytes()
    drawn.unlink()
    capsys.readouterr()
    main(["plot", str(folder)])
    assert capsys.readouterr().out == f"{drawn}\n"
    assert drawn.read_bytes() == before


def test_it_draws_several_runs_that_were_trained_without_plots(run, capsys):
    folders = [run("task=line", "trainer.max_steps=5", "plots=false").folder for _ in range(2)]
    capsys.readouterr()
    main(["plot", *map(str, folders)])
    files = [str(folder / "fit.png") for folder in folders]
    assert capsys.readouterr().out.splitlines() == [*files, "2 plots of 2 runs"]


def test_a_trajectory_without_its_path_is_refused_and_the_other_runs_are_drawn(run):
    folder = run("task=rosenbrock", "trainer.max_steps=20", "plots=false").folder
    other = run("task=line", "trainer.max_steps=5", "plots=false").folder
    with pytest.raises(SystemExit, match="plots=true"):
        main(["plot", str(folder), str(other)])
    assert not list(folder.glob("*.png"))
    assert (other / "fit.png").is_file()


def test_a_folder_without_runs_is_refused(tmp_path):
    with pytest.raises(SystemExit, match="holds no runs"):
        main(["plot", str(tmp_path)])


def test_a_run_without_a_plot_is_refused(run):
    folder = run("task=line", "trainer.max_steps=5", "callbacks.plot=null").folder
    with pytest.raises(SystemExit, match="names no plot"):
        main(["plot", str(folder)])
