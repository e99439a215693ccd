"""Learning-rate schedules from configuration; the files of conf/scheduler."""
