"""From a configuration and named parameters to parameter groups and an optimizer."""

from stepsize.optim.configure import Recipe, configure_optimizers
from stepsize.optim.param_groups import ParamGroup, group_parameters
from stepsize.optim.plan import build_optimizer, plan_optimizer, sparse_parameter_names
from stepsize.optim.spec import OptimizerSpec
from stepsize.schedules.build import build_schedule

__all__ = [
    "OptimizerSpec",
    "ParamGroup",
    "Recipe",
    "build_optimizer",
    "build_schedule",
    "configure_optimizers",
    "group_parameters",
    "plan_optimizer",
    "sparse_parameter_names",
]
