"""What each space holds: label probes, style probes and the sensitivity matrix. The model is frozen; scikit-learn fits."""
from __future__ import annotations

import math
import warnings
from typing import Sequence

import numpy as np
import torch
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import ConvergenceWarning
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import r2_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from .views import Pipeline, Views, to_float

Features = dict[str, np.ndarray]                              # space -> float32 [N, d]
STREAM = 10**9                                                # seeds of the probes' draws, far from those of data and training:
#                                                               equal seeds would tie an image's factors to its augmentation


# ------------------------------------------------------------------------------------------------------- features

@torch.no_grad()
def embed(model, images: torch.Tensor, pipeline: Pipeline, params=None, normalise=None, batch_size: int = 512) -> Features:
    """Features of h, every space and `joined` (all spaces side by side), of images uint8 [N, 3, S, S].

    params: what `pipeline.sample` drew for these N images, or None for the plain view: the image whole, only resized
    and normalised. `normalise(z, spaces)` acts on each image alone (SimCLR's spheres); None leaves z as it is, since a
    standardisation by the batch at hand would differ from set to set.
    """
    device = next(model.parameters()).device
    params = params or plain(pipeline, len(images))
    model.eval()
    h, z = [], []
    for start in range(0, len(images), batch_size):
        part = slice(start, start + batch_size)
        draws = {name: {k: v[part].to(device) for k, v in p.items()} for name, p in params.items()}
        x = pipeline.apply(to_float(images[part].to(device)), draws)
        for outputs, new in zip((h, z), model(x.contiguous(memory_format=torch.channels_last))):
            outputs.append(new.float())
    z = torch.cat(z)
    z = normalise(z, model.spaces) if normalise else z
    parts = {"h": torch.cat(h), **model.spaces.split(z), "joined": z}
    return {name: part.cpu().numpy() for name, part in parts.items()}


def plain(pipeline: Pipeline, n: int):
    """Parameters that switch every transform off."""
    params = pipeline.sample(torch.Generator().manual_seed(0), n, 1)
    return {name: {**p, **({"on": torch.zeros(n, dtype=torch.bool)} if p else {})} for name, p in params.items()}


# --------------------------------------------------------------------------------------------------------- probes

def linear(train, train_y, test, test_y) -> float:
    """Top-1 accuracy of multinomial logistic regression (L-BFGS, ℓ2 with C = 1, standardised features)."""
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300, tol=1e-3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return float(model.fit(train, train_y).score(test, test_y))


def knn(train, train_y, test, test_y, k: int = 20) -> float:
    """Top-1 accuracy of the k nearest neighbours by cosine of centred features, votes weighted by nearness."""
    mean = train.mean(axis=0)
    model = KNeighborsClassifier(min(k, len(train)), metric="cosine", weights="distance")
    return float(model.fit(train - mean, train_y).score(test - mean, test_y))


def lift(train, components: int, sizes: Sequence[int] = ()):
    """Features [N, d] -> themselves and `components` radial functions of them (Nyström, kernel of width √(d/2); d standardised dimensions).

    sizes: of the spaces that stand side by side in the features, if several do: then half as many functions of each space alone, too,
    since a distance in all d dimensions drowns what a space of few has to tell.
    """
    def kernel(d, n):
        return Nystroem(gamma=1 / d, n_components=min(n, len(train)), random_state=0)
    starts = np.cumsum([0, *sizes])
    alone = [(f"{start}", kernel(d, components // 2), slice(start, start + d)) for start, d in zip(starts, sizes)] if len(sizes) > 1 else []
    return make_pipeline(StandardScaler(), make_union(FunctionTransformer(), kernel(train.shape[1], components), *([ColumnTransformer(alone)] if alone else [])))


def regress(train, train_y, test, test_y, components: int = 500, sizes: Sequence[int] = ()) -> np.ndarray:
    """Held-out R² per column of y [N, T]: ridge on the features and on radial functions of them (`lift`).

    The ridge penalty of each column is chosen by leave-one-out on the training part. Linear where that is enough, else smooth: one
    probe for 3 dimensions and 500.
    """
    model = make_pipeline(lift(train, components, sizes), RidgeCV(np.logspace(-3, 6, 10), alpha_per_target=train_y.ndim > 1))
    return r2_score(test_y, model.fit(train, train_y).predict(test), multioutput="raw_values")


def classify(train, train_y, test, test_y, components: int = 500, sizes: Sequence[int] = ()) -> float:
    """Top-1 accuracy of logistic regression (ℓ2, C = 1) on the features and radial functions of them, as in `regress`: for spaces of a
    few dimensions, where classes need not be linear."""
    model = make_pipeline(lift(train, components, sizes), LogisticRegression(max_iter=200, tol=1e-3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return float(model.fit(train, train_y).score(test, test_y))


def side_by_side(features: Features, space: str) -> list[int]:
    """`sizes` for the probes of one of the features: the spaces' widths for `joined`, nothing for the others."""
    return [z.shape[1] for name, z in features.items() if name not in ("h", "joined")] if space == "joined" else []


def label_probes(train: Features, test: Features, train_images, test_images) -> dict[str, dict[str, float]]:
    """{space: {<label>_linear, <label>_knn: top-1; <factor>: R²}}; x and y also as `position`, their mean."""
    table = {}
    for space in train:
        row = {}
        for label, y in train_images.labels.items():
            args = train[space], y.numpy(), test[space], test_images.labels[label].numpy()
            row |= {f"{label}_linear": linear(*args), f"{label}_knn": knn(*args)}
        if train_images.factors:
            y, y_test = ({k: v.numpy() for k, v in images.factors.items()} for images in (train_images, test_images))
            row |= many(train[space], y, test[space], y_test, side_by_side(train, space))
            if {"x", "y"} <= set(row):
                row["position"] = (row["x"] + row["y"]) / 2
        table[space] = row
    return table


# --------------------------------------------------------------------------------------------------- style probes

def style_targets(pipeline: Pipeline, params) -> dict[str, np.ndarray]:
    """The drawn parameters by name, [N] or [N, 2], of the transforms with a continuous draw, and flip. A hue drawn over half
    the circle or more counts as an angle: its sine and cosine."""
    targets = {}
    if "crop" in params:
        top, left, height, width = params["crop"]["box"].unbind(1)
        targets |= {"crop_x": left + width / 2, "crop_y": top + height / 2, "crop_size": (height * width).sqrt()}
    if "flip" in params:
        targets["flip"] = params["flip"]["on"].float()
    if "rotation" in params:
        targets["rotation"] = params["rotation"]["angle"]
    if "jitter" in params:
        targets |= {name: params["jitter"][name] for name in ("brightness", "contrast", "saturation")}
        turn = 2 * math.pi * params["jitter"]["hue"]
        targets["hue"] = torch.stack([turn.sin(), turn.cos()], 1) if pipeline.transforms["jitter"].hue >= 0.25 else turn
    return {name: value.numpy() for name, value in targets.items()}


def style_draw(pipeline: Pipeline, generator, n: int, size: int):
    """Parameters for the style probes: crop, rotation and jitter always applied, what would hide them (greyscale, blur,
    solarise, equalise) never."""
    params = pipeline.sample(generator, n, size)
    for name in params:
        if name in ("crop", "rotation", "jitter"):
            params[name]["on"] = torch.ones(n, dtype=torch.bool)
        if name in ("greyscale", "blur", "solarise", "equalise"):
            params[name]["on"] = torch.zeros(n, dtype=torch.bool)
    return params


ALONE = ("brightness", "contrast", "saturation", "hue")       # partly visible without the plain image


def style_probes(model, views: Views, train: torch.Tensor, test: torch.Tensor, normalise=None, seed: int = 0) -> dict[str, dict[str, float]]:
    """Held-out R² of the augmentation's parameters, train and test uint8 [N, 3, S, S].

    {space: {brightness, …, crop_x, …, flip: from the PAIR of plain and augmented view, given as the plain features and
    the change; brightness_alone, …: from the augmented view alone}}.
    """
    sides = []
    for part, images in enumerate((train, test)):
        generator = torch.Generator().manual_seed(STREAM + 2 * seed + part)
        params = style_draw(views.query, generator, len(images), images.shape[-1])
        plain_view, view = (embed(model, images, views.query, p, normalise) for p in (None, params))
        sides.append((plain_view, view, style_targets(views.query, params)))
    (plain_train, view_train, y_train), (plain_test, view_test, y_test) = sides
    table = {}
    for space in view_train:
        pair = [np.concatenate([before[space], after[space] - before[space]], axis=1)
                for before, after in ((plain_train, view_train), (plain_test, view_test))]
        row = many(pair[0], y_train, pair[1], y_test)
        alone = {k: y_train[k] for k in ALONE if k in y_train}
        row |= {f"{k}_alone": v for k, v in many(view_train[space], alone, view_test[space], y_test).items()} if alone else {}
        table[space] = row
    return table


def many(train, targets: dict[str, np.ndarray], test, test_targets, sizes: Sequence[int] = ()) -> dict[str, float]:
    """`regress` for several named targets in one fit; a target of two columns gives their mean R²."""
    columns = {k: v.reshape(len(v), -1) for k, v in targets.items()}
    y, y_test = np.concatenate(list(columns.values()), 1), np.concatenate([test_targets[k].reshape(len(test), -1) for k in columns], 1)
    scores, start, row = regress(train, y, test, y_test, sizes=sizes), 0, {}
    for name, v in columns.items():
        row[name] = float(scores[start:start + v.shape[1]].mean())
        start += v.shape[1]
    return row


# ---------------------------------------------------------------------------------------------------- sensitivity

def sensitivity(model, views: Views, images: torch.Tensor, groups: Sequence[str] = (), normalise=None, scale_free=False,
                seed: int = 0) -> dict[str, dict[str, float]]:
    """{space: {group: E‖z^m(t) − z^m(t′)‖² / E‖z^m_i − z^m_j‖²}}: t′ is t with that group alone drawn afresh, i ≠ j are
    different images under their own draws. 0: the space ignores the group; 1: it changes the space as much as another
    image does. images: uint8 [N, 3, S, S]. scale_free: every dimension of z counts alike, divided by its standard
    deviation, for families that fix it only up to scale (entropy, barlow).
    """
    generator = torch.Generator().manual_seed(STREAM + seed)
    first = views.key.sample(generator, len(images), images.shape[-1])
    base = embed(model, images, views.key, first, normalise)
    unit = {space: z.std(axis=0) + 1e-8 if scale_free and space != "h" else 1.0 for space, z in base.items()}
    table = {space: {} for space in base}
    for group in groups or views.groups:
        fresh = views.key.sample(generator, len(images), images.shape[-1])
        second = {**first, **{name: fresh[name] for name in views.key.group(group)}}
        moved = embed(model, images, views.key, second, normalise)
        for space, z in base.items():
            between = 2 * (z / unit[space]).var(axis=0, ddof=1).sum()                         # E‖z_i − z_j‖² over i ≠ j
            within = (((z - moved[space]) / unit[space])**2).sum(axis=1).mean()
            table[space][group] = float(within / between) if between > 0 else 0.0
    return table
