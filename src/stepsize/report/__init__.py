"""What a sweep has left behind: one table, its statistics, the report and its figures."""
