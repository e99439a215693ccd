"""Optimizers, parameter groups and schedules from configuration."""

from stepsize.optim.configure import Recipe, configure_optimizers
from stepsize.optim.param_groups import ParamGroup, group_parameters
from stepsize.optim.plan import build_optimizer, sparse_parameter_names
from stepsize.optim.spec import optimizer_classes
from stepsize.schedules.build import build_schedule

__all__ = [
    "ParamGroup",
    "Recipe",
    "build_optimizer",
    "build_schedule",
    "configure_optimizers",
    "group_parameters",
    "optimizer_classes",
    "sparse_parameter_names",
]
