"""Measures of what each space of a frozen model encodes.

Style probes and sensitivity take the model itself. Label probes, the scores of `dci`, the
classifier of transfer learning and retrieval take features, which `embed` computes.
"""

from msr.evaluate import classifier, dci, probes, retrieval
from msr.evaluate.features import (
    STREAM,
    Features,
    Normalisation,
    embed,
    embed_views,
    plain,
    readable,
)
from msr.evaluate.inputs import style_inputs
from msr.evaluate.linear import linear_probe
from msr.evaluate.probes import label_probes
from msr.evaluate.sensitivity import sensitivity
from msr.evaluate.style import (
    drawn,
    pair_scores,
    style_draw,
    style_probes,
    style_scores,
    style_targets,
)

__all__ = [
    "STREAM",
    "Features",
    "Normalisation",
    "classifier",
    "dci",
    "drawn",
    "embed",
    "embed_views",
    "label_probes",
    "linear_probe",
    "pair_scores",
    "plain",
    "probes",
    "readable",
    "retrieval",
    "sensitivity",
    "style_draw",
    "style_inputs",
    "style_probes",
    "style_scores",
    "style_targets",
]
