"""Many runs from one command: their names, their plan, what is left to do, and how it ended."""
