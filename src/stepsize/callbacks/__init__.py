"""Lightning callbacks: one file each, chosen by the config group ``callbacks``."""
