"""Statistics of a few seeds in pure numpy; it imports nothing else of stepsize."""

from stepsize.stats.intervals import (
    Interval,
    log_mean_interval,
    mean_interval,
    median_quartiles,
    median_steps,
    quantiles,
    rounding_floor,
    t_quantile,
)
from stepsize.stats.max_t import max_t
from stepsize.stats.paired import Paired, paired
from stepsize.stats.profiles import Profile, performance_profile

__all__ = [
    "Interval", "Paired", "Profile", "log_mean_interval", "max_t", "mean_interval",
    "median_quartiles", "median_steps", "paired", "performance_profile", "quantiles",
    "rounding_floor", "t_quantile",
]  # fmt: skip
