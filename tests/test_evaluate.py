"""The classifier chooses its penalty and counts its shots; retrieval finds known rows."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from msr.evaluate import classifier, retrieval

# -------------------------------------------------------------------------------------- classifier


def toy(n, distance, seed):
    """Two classes, `distance` from the middle in one of 200 dimensions of unit noise."""
    generator = np.random.default_rng(seed)
    y = generator.integers(0, 2, n)
    x = generator.normal(size=(n, 200))
    x[:, 0] += (2 * y - 1) * distance
    return x, y


def weak_evidence(n, seed, wrong):
    """Two classes that each of 200 dimensions predicts a little; a share of labels is wrong."""
    generator = np.random.default_rng(seed)
    y = generator.integers(0, 2, n)
    x = generator.normal(size=(n, 200)) + 0.12 * (2 * y - 1)[:, None]
    return x, np.where(generator.random(n) < wrong, 1 - y, y)


def test_the_penalty_is_chosen_by_validation():
    """Three labels in ten are wrong: with almost no penalty the fit follows the wrong ones."""
    (x, y), test = weak_evidence(240, 0, 0.3), weak_evidence(3000, 1, 0.0)
    chosen = classifier.accuracy(x, y, *test, n_l2=12)
    at = [
        classifier.score(LogisticRegression(C=1 / l2, max_iter=200), x, y, *test)
        for l2 in np.geomspace(*classifier.L2, 12)
    ]
    assert chosen > at[0] + 0.05 and chosen >= max(at) - 0.05


def test_chance_where_there_is_nothing():
    x, y = toy(400, 0.0, 2)
    assert abs(classifier.accuracy(x, y, *toy(2000, 0.0, 3)) - 0.5) < 0.05


def test_few_shots_are_few(monkeypatch):
    x, y = toy(400, 3.0, 4)
    sizes, fit = [], classifier.score

    def watched(probe, train, labels, *test):
        sizes.append(np.bincount(labels).tolist())
        return fit(probe, train, labels, *test)

    monkeypatch.setattr(classifier, "score", watched)
    test = toy(500, 3.0, 5)
    scores = [classifier.few_shot_accuracy(x, y, *test, shots=shots) for shots in (2, 50)]
    assert sizes == [[2, 2]] * 5 + [[50, 50]] * 5 and scores[0] < scores[1]


# --------------------------------------------------------------------------------------- retrieval


@pytest.fixture(scope="module")
def known():
    """A gallery of 6 contents × 5 colours × 4 places, each in a space of its own, and 40 triples.

    Of a triple, row 0 gives the content, row 1 the colour and row 2 the place that are wanted.
    """
    key = torch.cartesian_prod(torch.arange(6), torch.arange(5), torch.arange(4))  # [G, 3]
    names = ("content", "appearance", "spatial")
    gallery = {
        name: torch.nn.functional.one_hot(k).float().numpy() for name, k in zip(names, key.T)
    }
    queries = torch.randint(len(key), (40, 3), generator=torch.Generator().manual_seed(0))
    wanted = torch.stack([key[queries[:, i], i] for i in range(3)], dim=1)
    return key, gallery, queries, wanted


def test_retrieval_finds_all_with_known_features_and_little_with_wrong_parts(known):
    """With spaces that hold exactly one factor each, every triple is answered."""
    key, gallery, queries, wanted = known
    takes = [("content", 0), ("appearance", 1), ("spatial", 2)]
    found = retrieval.retrieve(gallery, queries, takes)
    assert found.shape == (40,) and torch.equal(key[found], wanted)
    takes = [("appearance", 0), ("content", 1), ("content", 2)]
    wrong = retrieval.retrieve(gallery, queries, takes)
    assert (key[wrong] == wanted).all(dim=1).float().mean() < 0.3


def test_retrieval_ignores_the_scale_of_a_space(known):
    _, gallery, queries, _ = known
    takes = [("content", 0), ("appearance", 1), ("spatial", 2)]
    scaled = {name: torch.as_tensor(z) * 2.0**i for i, (name, z) in enumerate(gallery.items())}
    expected = retrieval.retrieve(gallery, queries, takes)
    assert torch.equal(retrieval.retrieve(scaled, queries, takes), expected)


def test_nearest_images_are_in_order_and_the_query_is_first():
    x = np.array([0.0, 5.0, 1.0, 2.2, 0.0])[:, None]
    rows = retrieval.nearest_images(x, [0, 4, 1], k=2)
    assert rows.tolist() == [[0, 4, 2], [4, 0, 2], [1, 3, 2]]
