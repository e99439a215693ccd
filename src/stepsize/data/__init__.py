"""Data modules of data sets in memory, and their batches.

To add a data set, subclass :class:`InMemoryData` as toy.py does: write ``make``, which returns the
training set and the validation set (or None) as tuples of tensors, inputs first and target last.
Name the class in a file of conf/data, with its arguments written out. For a data set that does not
fit into memory, name any other LightningDataModule in such a file.
"""

from stepsize.data.batches import BatchStream, TensorBatches, Tensors
from stepsize.data.module import InMemoryData
from stepsize.data.real import BreastCancer, Diabetes, Digits, DigitsTokens
from stepsize.data.toy import Blobs, Curve, GradientNoise, Line, NoiseBatches

__all__ = [
    "BatchStream",
    "Blobs",
    "BreastCancer",
    "Curve",
    "Diabetes",
    "Digits",
    "DigitsTokens",
    "GradientNoise",
    "InMemoryData",
    "Line",
    "NoiseBatches",
    "TensorBatches",
    "Tensors",
]
