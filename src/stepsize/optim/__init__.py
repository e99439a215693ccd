"""Optimizers, parameter groups and schedules from configuration."""

from stepsize.optim.build import build_optimizer, sparse_parameter_names
from stepsize.optim.configure import Recipe, configure_optimizers
from stepsize.optim.param_groups import group_parameters
from stepsize.optim.part import optimizer_classes
from stepsize.optim.rules import ParamGroup
from stepsize.optim.schedule import build_schedule

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
