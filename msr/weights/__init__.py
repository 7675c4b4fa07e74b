"""Trained networks, loaded: `load` gives one to use, `begin_from` begins training from one.

What a file holds is only data: no code in it is run, and a network is built only if its weights
have the shapes that the file itself holds.
"""

from msr.weights.begin import begin_from, stem_of
from msr.weights.stored import config_of, locate, shipped, tensors
from msr.weights.trained import Trained, load

__all__ = ["Trained", "begin_from", "config_of", "load", "locate", "shipped", "stem_of", "tensors"]
