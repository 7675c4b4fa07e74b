"""Multi-space representations: self-supervised learning that keeps style, in spaces of its own."""
from .weights import load as load
