"""stepsize: which optimizer, schedule and parameter groups make this model converge?

Importing the package imports nothing heavy: ``python train.py --help`` answers at once.
"""

__version__ = "0.1.0"
