"""The parameter groups and their learning rates are logged before training, in three places."""

import logging

import pytest
import torch
from torch import nn

from stepsize.optim import OptimizerSpec, build_optimizer, plan_optimizer
from stepsize.optim.describe import as_markdown, as_text, group_table

STEPS = "trainer.max_steps=2"
MLP = ("task=digits_mlp", STEPS, "callbacks.plot=null")


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden, self.fc = nn.Linear(4, 3), nn.Linear(3, 2)


def planned(target="torch.optim.AdamW", rules=None, **options):
    spec = OptimizerSpec.from_config({"_target_": target, **options})
    return plan_optimizer(spec, Net().named_parameters(), rules)


def tabled(rules=None, **options):
    plan = planned(rules=rules, **options)
    return group_table(plan.build(), plan.lrs, plan.frozen.values())


def texted(rules=None):
    return as_text(planned().build(), tabled(rules))


def events(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    shown = EventAccumulator(str(run.folder))
    shown.Reload()
    return shown.Tensors("parameter groups/text_summary")


def test_a_row_has_the_groups_size_learning_rate_and_weight_decay():
    rules = {"head": {"match": "^fc", "lr": 0.5, "weight_decay": 0.0}}
    assert tabled(rules, lr=0.1, weight_decay=0.01) == [
        ["group", "tensors", "parameters", "lr", "weight decay"],
        ["head", "2", "8", "0.5", "0"],
        ["default", "2", "15", "0.1", "0.01"],
    ]


def test_frozen_groups_come_last_and_say_so():
    header, *_, last = tabled({"backbone": {"match": "hidden", "freeze": True}})
    assert last == ["backbone", "2", "15", "frozen", ""]
    assert len(header) == len(last)


def test_an_option_has_a_column_only_where_groups_differ_in_it():
    rules = {"head": {"match": "^fc", "betas": [0.5, 0.9]}}
    assert tabled(rules)[0][5:] == ["betas"]
    assert [row[5] for row in tabled(rules)[1:]] == ["(0.5, 0.9)", "(0.9, 0.999)"]


def test_an_optimizer_without_learning_rates_has_no_column_for_them():
    class Signed(torch.optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {})

    table = group_table(Signed(Net().parameters()), {})
    assert table[0] == ["group", "tensors", "parameters"]
    named = Signed([{"params": Net().parameters(), "name": "default"}])
    assert as_text(named, group_table(named, {})) == "Signed over 4 tensors, 23 parameters"


def test_only_a_single_group_without_rules_is_described_in_one_line():
    assert "\n" not in texted()
    assert "\n" in texted({"head": {"match": "fc"}})
    assert "\n" in texted({"backbone": {"match": "hidden", "freeze": True}})


def test_the_learning_rate_is_the_one_that_the_schedule_multiplies():
    plan = planned("torch.optim.Adam", lr=0.1)
    optimizer = plan.build()
    torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, 10, cycle_momentum=False)
    assert optimizer.param_groups[0]["initial_lr"] == pytest.approx(0.1 / 25)
    assert group_table(optimizer, plan.lrs)[1][3] == "0.1"


def test_nested_schedulers_are_named_in_the_title():
    adam = build_optimizer({"_target_": "torch.optim.Adam"}, Net().named_parameters())
    schedulers = torch.optim.lr_scheduler
    parts = [schedulers.ConstantLR(adam), schedulers.StepLR(adam, 2)]
    sequence = schedulers.SequentialLR(adam, parts, [3])
    title, *_ = as_markdown(adam, group_table(adam, {}), [sequence]).splitlines()
    assert title == "Adam with 1 parameter group, under ConstantLR then StepLR"


def test_plain_text_is_aligned_and_markdown_has_a_rule():
    table = [["group", "lr"], ["a", "0.1"], ["much/longer", "1"]]
    adam = build_optimizer({"_target_": "torch.optim.Adam"}, Net().named_parameters())
    _, text = as_text(adam, table).split("\n", 1)
    assert text == "group         lr\na            0.1\nmuch/longer    1"
    _, _, *lines = as_markdown(adam, table).splitlines()
    assert lines[:3] == ["| group | lr |", "| --- | ---: |", "| a | 0.1 |"]


def test_a_run_with_one_group_logs_one_short_line(run, caplog):
    with caplog.at_level(logging.INFO, "stepsize"):
        run("task=curve", STEPS, "callbacks.plot=null")
    (logged,) = [r.message for r in caplog.records if r.name == "stepsize.optim.describe"]
    assert logged == "Adam over 4 tensors, 61 parameters: lr 0.001"


def test_the_table_is_a_markdown_table_in_tensorboards_text(run):
    (event,) = events(run(*MLP, "param_groups=freeze_backbone", "scheduler=warmup_cosine"))
    text = event.tensor_proto.string_val[0].decode()
    assert "under LinearLR then CosineAnnealingLR" in text
    assert "| default | 2 | 1,290 | 0.001 | 0 |" in text
    assert "| backbone | 8 | 25,344 | frozen |  |" in text
    assert event.step == 0


@pytest.mark.parametrize("optimizer", ["muon", "lbfgs", "sgd"])
def test_the_log_names_every_group_of_any_optimizer(run, caplog, optimizer):
    with caplog.at_level(logging.INFO, "stepsize"):
        run(*MLP, f"optimizer={optimizer}")
    logged = next(r.message for r in caplog.records if r.name == "stepsize.optim.describe")
    expected = {"muon": "default/Muon", "lbfgs": "LBFGS over 10", "sgd": "SGD over 10"}
    assert expected[optimizer] in logged
    assert ("default/AdamW" in logged) == (optimizer == "muon")


def test_the_table_is_on_the_console_and_in_the_log_file(command, tmp_path):
    done = command(*MLP, "param_groups=no_decay", "optimizer=adamw", "hydra.run.dir=here")
    assert done.returncode == 0, done.stderr
    for text in (done.stdout, (tmp_path / "here" / "train.log").read_text()):
        assert "AdamW with 2 parameter groups" in text
        assert "\nno_decay  " in text
