"""Many runs from one command: names, plan, grid, final stage, progress and end of a sweep."""
