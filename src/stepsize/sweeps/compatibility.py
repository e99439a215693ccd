"""Whether an optimizer and its parameter groups are compatible with a task's model."""

from __future__ import annotations

from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from stepsize.config.instantiate import allowing, instantiate
from stepsize.config.resolve import plain


def incompatibility(cfg: DictConfig) -> str | None:
    """Why the configuration's optimizer cannot train its model; None where it can.

    A wrong value of an option, such as a negative learning rate, is not checked here: that run
    fails.

    Args:
        cfg: a job's configuration as Hydra composes it, with Hydra's part.
    """
    from stepsize.optim import OptimizerSpec, plan_optimizer, sparse_parameter_names

    config: dict[str, Any] = {}
    before = HydraConfig.instance().cfg
    HydraConfig.instance().set_config(cfg)  # for ${hydra:...}
    try:
        for group in ("data", "model", "optimizer", "param_groups", "allowed_packages"):
            config[group] = plain(cfg[group], resolve=True)
    finally:
        HydraConfig.instance().cfg = before
    with allowing(config["allowed_packages"]):
        module = instantiate(config["model"], where="model")
        try:
            plan_optimizer(
                OptimizerSpec.from_config(config["optimizer"]),
                module.named_parameters(),
                config["param_groups"],
                sparse=sparse_parameter_names(module),
            )
        except ValueError as error:
            return " ".join(str(error).split())
    return None
