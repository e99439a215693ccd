"""Whether an optimizer can train a task's model at all."""

from __future__ import annotations

from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf


def unfit(cfg: DictConfig) -> str | None:
    """Why this configuration's optimizer cannot train its model; None where it can.

    A wrong value of an option, such as a negative rate, is not looked at: that is a failed run.

    Args:
        cfg: one job's, as Hydra composes it, with Hydra's part.
    """
    from stepsize.config.instantiate import allowing, instantiate
    from stepsize.optim import OptimizerSpec, plan_optimizer, sparse_parameter_names

    parts: dict[str, Any] = {}
    before = HydraConfig.instance().cfg
    HydraConfig.instance().set_config(cfg)  # interpolations look there
    try:
        for group in ("data", "model", "optimizer", "param_groups", "allowed_packages"):
            parts[group] = OmegaConf.to_container(cfg[group], resolve=True)
    finally:
        HydraConfig.instance().cfg = before
    with allowing(parts["allowed_packages"]):
        module = instantiate(parts["model"], where="model")
        try:
            plan_optimizer(
                OptimizerSpec.from_config(parts["optimizer"]),
                module.named_parameters(),
                parts["param_groups"],
                sparse=sparse_parameter_names(module),
            )
        except ValueError as error:
            return " ".join(str(error).split())
    return None
