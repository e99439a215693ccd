"""The commands of ``python -m stepsize``, one file for each."""
