"""Retrieval: the nearest images of a gallery, by the distance in one space or in several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch


def retrieve(
    gallery: Mapping[str, np.ndarray | torch.Tensor],
    queries: torch.Tensor,
    takes: Sequence[tuple[str, int]],
) -> torch.Tensor:
    """Return for each query the row of its nearest gallery image, long [Q].

    gallery: {space: features [G, d] of its G images}. queries: long [Q, J], rows of the gallery; a
    query consists of J images. takes: pairs (space, j), which say to match the query's image j in
    that space.

    The distance is a sum over these pairs: the squared distance to image j in the space, divided by
    its mean over all queries and gallery images. All dimensions count equally, since each is
    divided by its standard deviation + 1e-8. A space that is the same for all images has no say.
    The query's own images may be found too. Raises ValueError, one line, for no pairs.
    """
    if not takes:
        raise ValueError("nothing to match; give one pair (space, image of the query) or more")
    distance: torch.Tensor | float = 0.0
    for space, column in takes:
        z = torch.as_tensor(gallery[space])
        z = z / (z.std(dim=0) + 1e-8) if len(z) > 1 else z  # [G, d]
        part = torch.cdist(z[queries[:, column]], z).square()  # [Q, G]
        distance = distance + part / part.mean() if part.any() else distance + part
    return torch.as_tensor(distance).argmin(dim=1)


def nearest_images(features: np.ndarray, queries: Sequence[int], k: int = 6) -> np.ndarray:
    """Return for each query its own row and then its k nearest rows, nearest first, [Q, k + 1].

    features: [N, d]. queries: Q rows of these. k: at most N − 1 are found. The distance is
    Euclidean, between features of which each dimension is standardised.
    """
    f = (features - features.mean(0)) / (features.std(0) + 1e-6)
    rows = []
    for query in queries:
        distance = ((f - f[query]) ** 2).sum(axis=1)  # [N]
        distance[query] = -1  # so that the query comes before rows equal to it
        rows.append(np.argsort(distance)[: k + 1])
    return np.stack(rows)
