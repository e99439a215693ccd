"""A run folder: what is in it, and how a run ends."""
