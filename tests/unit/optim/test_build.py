import pytest
import torch
from conftest import CONF, names
from omegaconf import OmegaConf
from torch import nn

from stepsize.config.instantiate import locate
from stepsize.optim import build_optimizer, sparse_parameter_names
from stepsize.optim.compatibility import REFUSE_SPARSE
from stepsize.optim.plan import CompositeOptimizer

ADAM = {"_target_": "torch.optim.Adam", "lr": 1e-2}
MUON = OmegaConf.to_container(OmegaConf.load(CONF / "optimizer" / "muon.yaml"))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(5, 4)
        self.hidden = nn.Linear(4, 3)
        self.norm = nn.LayerNorm(3)
        self.fc = nn.Linear(3, 2)

    def forward(self, tokens):
        return self.fc(self.norm(torch.relu(self.hidden(self.embed(tokens)))))


def _loss(net):
    return net(torch.tensor([0, 1, 2, 3, 4])).square().mean()


def _group_names(optimizer, net):
    owner = {id(p): name for name, p in net.named_parameters()}
    return {g["name"]: [owner[id(p)] for p in g["params"]] for g in optimizer.param_groups}


def test_without_rules_there_is_one_group_called_default():
    net = Net()
    optimizer = build_optimizer(ADAM, net.named_parameters())
    assert list(_group_names(optimizer, net)) == ["default"]
    assert type(optimizer) is torch.optim.Adam


def test_a_rules_lr_is_absolute_and_its_lr_scale_relative():
    net = Net()
    rules = {"head": {"match": r"^fc\.", "lr": 0.5}, "norm": {"match": "norm", "lr_scale": 0.1}}
    lrs = {
        g["name"]: g["lr"]
        for g in build_optimizer(ADAM, net.named_parameters(), rules).param_groups
    }
    assert lrs == {"head": 0.5, "norm": pytest.approx(1e-3), "default": 1e-2}


def test_an_lr_scale_without_a_configured_lr_uses_the_classs_own_default():
    rules = {"head": {"match": r"^fc\.", "lr_scale": 10}}
    built = build_optimizer({"_target_": "torch.optim.Adam"}, Net().named_parameters(), rules)
    assert built.param_groups[0]["lr"] == pytest.approx(1e-2)


def test_frozen_parameters_are_in_no_group_and_need_no_gradient():
    net = Net()
    built = build_optimizer(
        ADAM, net.named_parameters(), {"still": {"match": "embed", "freeze": True}}
    )
    assert not net.embed.weight.requires_grad
    assert "still" not in _group_names(built, net)


def test_freezing_everything_is_refused():
    with pytest.raises(ValueError, match="every parameter is frozen"):
        build_optimizer(ADAM, Net().named_parameters(), {"all": {"match": ".", "freeze": True}})


def test_muon_takes_the_hidden_matrices_and_adamw_the_rest():
    net = Net()
    optimizer = build_optimizer(MUON, net.named_parameters())
    assert isinstance(optimizer, CompositeOptimizer)
    assert _group_names(optimizer, net) == {
        "default/Muon": ["hidden.weight"],
        "default/AdamW": [
            "embed.weight",
            "hidden.bias",
            "norm.weight",
            "norm.bias",
            "fc.weight",
            "fc.bias",
        ],
    }
    assert optimizer.defaults["lr"] == MUON["lr"]


def test_a_rules_groups_are_shared_out_among_the_parts_of_a_composite():
    rules = {"slow": {"match": "^hidden", "lr_scale": 0.1}}
    optimizer = build_optimizer(MUON, Net().named_parameters(), rules)
    lrs = {g["name"]: g["lr"] for g in optimizer.param_groups}
    assert lrs == {
        "default/AdamW": MUON["other_params"]["lr"],
        "slow/Muon": pytest.approx(0.1 * MUON["lr"]),
        "slow/AdamW": pytest.approx(0.1 * MUON["other_params"]["lr"]),
    }


def test_a_rules_option_that_one_part_lacks_is_refused():
    with pytest.raises(ValueError, match="AdamW has no option momentum"):
        build_optimizer(MUON, Net().named_parameters(), {"all": {"match": ".", "momentum": 0.5}})


def test_a_composite_of_three_makes_the_same_steps_as_three_optimizers_apart():
    chain = {
        "_target_": "torch.optim.SGD", "lr": 0.1, "momentum": 0.9, "params": {"match": "embed"},
        "other_params": {
            "_target_": "torch.optim.Muon", "lr": 0.02, "params": {"match": r"hidden\.weight"},
            "other_params": {"_target_": "torch.optim.AdamW", "lr": 1e-2},
        },
    }  # fmt: skip
    torch.manual_seed(0)
    together, apart = Net(), Net()
    apart.load_state_dict(together.state_dict())
    composite = build_optimizer(chain, together.named_parameters())
    others = [p for n, p in apart.named_parameters() if "embed" not in n and n != "hidden.weight"]
    alone = [
        torch.optim.SGD([apart.embed.weight], lr=0.1, momentum=0.9),
        torch.optim.Muon([apart.hidden.weight], lr=0.02),
        torch.optim.AdamW(others, lr=1e-2),
    ]
    for _ in range(20):
        composite.zero_grad()
        _loss(together).backward()
        composite.step()
        apart.zero_grad()
        _loss(apart).backward()
        for optimizer in alone:
            optimizer.step()
    for mine, theirs in zip(together.parameters(), apart.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0)


def test_a_composites_state_survives_saving_and_loading(tmp_path):
    torch.manual_seed(0)
    net, twin = Net(), Net()
    first = build_optimizer(MUON, net.named_parameters())
    for _ in range(5):
        first.step(lambda: (first.zero_grad(), _loss(net).backward())[1])
    torch.save({"net": net.state_dict(), "optimizer": first.state_dict()}, tmp_path / "x.pt")
    saved = torch.load(tmp_path / "x.pt", weights_only=True)
    twin.load_state_dict(saved["net"])
    second = build_optimizer(MUON, twin.named_parameters())
    second.load_state_dict(saved["optimizer"])
    for optimizer, model in ((first, net), (second, twin)):
        optimizer.param_groups[0]["lr"] = 0.03  # what a schedule does
        optimizer.step(lambda o=optimizer, m=model: (o.zero_grad(), _loss(m).backward())[1])
    for mine, theirs in zip(net.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0)


def test_lbfgs_takes_one_group():
    with pytest.raises(ValueError, match=r"LBFGS takes one parameter group.*param_groups=none"):
        build_optimizer(
            {"_target_": "torch.optim.LBFGS"}, Net().named_parameters(), {"head": {"match": "fc"}}
        )


def test_lbfgs_cannot_be_part_of_a_composite():
    chain = {**ADAM, "params": {"match": "fc"}, "other_params": {"_target_": "torch.optim.LBFGS"}}
    with pytest.raises(ValueError, match="LBFGS cannot be part of a composite"):
        build_optimizer(chain, Net().named_parameters())


def test_bare_muon_names_what_it_cannot_take():
    with pytest.raises(ValueError, match=r"hidden.bias has 1 dimension.*optimizer=muon"):
        build_optimizer({"_target_": "torch.optim.Muon"}, list(Net().named_parameters())[1:])


def test_params_without_other_params_is_refused():
    with pytest.raises(ValueError, match="params and other_params go together"):
        build_optimizer({**ADAM, "params": {"ndim": 2}}, Net().named_parameters())


def test_a_part_with_nothing_to_take_is_refused():
    with pytest.raises(ValueError, match=r"params: there is nothing for Adam among"):
        build_optimizer(
            {**ADAM, "params": {"ndim": 7}, "other_params": ADAM}, Net().named_parameters()
        )


def test_a_scheduler_is_not_an_optimizer():
    with pytest.raises(ValueError, match="is not a torch optimizer class"):
        build_optimizer({"_target_": "torch.nn.Linear"}, Net().named_parameters())


def test_sparse_embeddings_are_found_by_name():
    net = nn.ModuleDict(
        {
            "a": nn.Embedding(3, 2, sparse=True),
            "b": nn.Embedding(3, 2),
            "c": nn.EmbeddingBag(3, 2, sparse=True),
        }
    )
    assert sparse_parameter_names(net) == {"a.weight", "c.weight"}


OF_TORCH = [
    name
    for name in names("optimizer")
    if OmegaConf.load(CONF / "optimizer" / f"{name}.yaml")["_target_"].startswith("torch.")
]


@pytest.mark.parametrize("name", OF_TORCH)
def test_the_table_of_optimizers_that_refuse_sparse_gradients_is_torchs(name):
    config = OmegaConf.to_container(OmegaConf.load(CONF / "optimizer" / f"{name}.yaml"))
    target = locate(config["_target_"])
    torch.sparse.check_sparse_tensor_invariants.disable()
    embedding = nn.Embedding(3, 2, sparse=True)
    optimizer = target([embedding.weight], lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = embedding(torch.tensor([0, 1])).square().sum()
        loss.backward()
        return loss

    if issubclass(target, REFUSE_SPARSE):
        with pytest.raises((RuntimeError, NotImplementedError)):
            optimizer.step(closure)
    else:
        optimizer.step(closure)
