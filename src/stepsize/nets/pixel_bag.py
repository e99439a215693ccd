"""A classifier with sparse gradients: an embedding, summed over an image's pixels."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PixelBag(nn.Module):
    """Sums one row of class scores per token, weighted by the token's intensity.

    An image is a bag of (pixel, intensity) tokens, so this is multinomial logistic regression
    written as a lookup. The gradients of its one parameter, ``bag.weight``, are sparse: they hold
    only the rows of the tokens in the batch.

    Rows are initialised from N(0, 0.01^2), so that the run's seed decides the initial weights and
    all scores are close to zero; the padding row is always zero.

    Args:
        tokens: Size of the vocabulary, padding included.
        classes: Number of classes.
        padding_idx: The token that pads short bags and contributes nothing.

    Raises:
        ValueError: A size below one, or a padding token outside the vocabulary.
    """

    def __init__(self, tokens: int = 66, classes: int = 10, padding_idx: int = 65) -> None:
        super().__init__()
        if tokens < 1 or classes < 1:
            raise ValueError(
                f"PixelBag: tokens and classes must be 1 or more, got {tokens} and {classes}"
            )
        if not 0 <= padding_idx < tokens:
            raise ValueError(
                f"PixelBag: padding_idx must be one of the tokens 0 ... {tokens - 1}, "
                f"got {padding_idx}"
            )
        self.bag = nn.EmbeddingBag(
            tokens, classes, mode="sum", sparse=True, padding_idx=padding_idx
        )
        nn.init.normal_(self.bag.weight, std=0.01)
        with torch.no_grad():
            self.bag.weight[padding_idx] = 0.0

    def forward(self, tokens: Tensor, intensity: Tensor) -> Tensor:
        """Map int64 tokens and float intensities, both ``[B, L]``, to logits ``[B, classes]``."""
        return self.bag(tokens, per_sample_weights=intensity)
