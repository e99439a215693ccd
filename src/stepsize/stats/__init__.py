"""Statistics in plain numpy: intervals, paired comparisons, performance profiles."""
