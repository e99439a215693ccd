"""Learning-rate schedules from configuration."""
