"""Multi-space representations: self-supervised learning that keeps style, in spaces of its own."""

from msr.augment import Pipeline, pipelines
from msr.data import Batches, Images
from msr.data import load as load_images
from msr.losses import FAMILIES, Family
from msr.models import MultiSpace, backbone
from msr.objective import Objective
from msr.spaces import Spaces
from msr.train import Training, fit
from msr.views import Views
from msr.weights import Trained, load

__all__ = [
    "FAMILIES",
    "Batches",
    "Family",
    "Images",
    "MultiSpace",
    "Objective",
    "Pipeline",
    "Spaces",
    "Trained",
    "Training",
    "Views",
    "backbone",
    "fit",
    "load",
    "load_images",
    "pipelines",
]
