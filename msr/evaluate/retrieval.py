"""Retrieval: the nearest images of a gallery, in one space or by a sum over spaces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch


def retrieve(
    gallery: Mapping[str, np.ndarray | torch.Tensor],
    queries: torch.Tensor,
    takes: Sequence[tuple[str, int]],
) -> torch.Tensor:
    """Return for each query the gallery's nearest row, long [Q], by a sum over spaces.

    gallery: {space: [G, d]}. queries: long [Q, J], rows of the gallery; a query is J images.
    takes: (space, column of queries) pairs, each saying which image to match in which space.

    Distance = Σ over pairs of the squared distance to that image in that space, over its mean in
    the gallery. Every dimension counts alike: it is divided by its standard deviation + 1e-8.
    """
    distance: torch.Tensor | float = 0.0
    for space, column in takes:
        z = torch.as_tensor(gallery[space])
        z = z / (z.std(dim=0) + 1e-8)  # [G, d]
        part = torch.cdist(z[queries[:, column]], z).square()  # [Q, G]
        distance = distance + part / part.mean()
    return torch.as_tensor(distance).argmin(dim=1)


def nearest_images(features: np.ndarray, queries: Sequence[int], k: int = 6) -> np.ndarray:
    """Return for each query, a row of features [N, d], itself and its k nearest rows, [Q, k + 1].

    Euclidean distance between standardised features, nearest first.
    """
    f = (features - features.mean(0)) / (features.std(0) + 1e-6)
    rows = []
    for query in queries:
        distance = ((f - f[query]) ** 2).sum(axis=1)  # [N]
        distance[query] = -1  # before any equal row
        rows.append(np.argsort(distance)[: k + 1])
    return np.stack(rows)
