"""A parameter-group rule of your own is a configuration file; this script tries one out.

    python examples/own_param_group_rule.py param_groups=own_param_group_rule task=digits
    python train.py --config-dir examples/conf param_groups=own_param_group_rule task=digits

The first command lists which parameters each rule selects, without training; the second trains
with the rules. A rule has ``match`` (a regular expression on the parameter's name), ``ndim`` or
both, and the optimizer's options for the parameters that it selects. The first rule that selects a
parameter wins; parameters that no rule selects form the group ``default``.
"""

import sys
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf

from stepsize.optim import group_parameters

CONF = Path(__file__).resolve().parents[1] / "conf"
OWN = Path(__file__).with_name("conf")


def main(overrides: list[str]) -> None:
    """Print every group: its options, and the names of its parameters."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        search_path = f"hydra.searchpath=[file://{OWN}]"
        cfg = compose("train", overrides=[*overrides, search_path])
    model = instantiate(cfg.model, _convert_="all")
    rules = OmegaConf.to_container(cfg.param_groups)
    for group in group_parameters(model.named_parameters(), rules):
        print(f"{group.name}: lr x {group.lr_scale:g} {group.options or ''}")
        for name, parameter in group.parameters:
            print(f"    {name} {list(parameter.shape)}")


if __name__ == "__main__":
    main(sys.argv[1:])
