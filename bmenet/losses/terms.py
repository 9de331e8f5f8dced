"""What a loss is made of: named terms, and their weighted sum."""

from collections.abc import Mapping

import torch
from torch import Tensor

Terms = dict[str, Tensor]


def weighted_sum(terms: Terms, weights: Mapping[str, float]) -> tuple[Tensor, Terms]:
    """Return the weighted sum of a loss's terms, and the terms themselves."""
    total = sum((weights[name] * term for name, term in terms.items()), start=torch.zeros_like(terms["ssim"]))
    return total, {name: term.detach() for name, term in terms.items()}
