"""What two views tell of their difference: a probe with a known answer, and its draws."""

from types import SimpleNamespace

import numpy as np
import torch

from msr.data import RENDERED
from msr.experiments import relative
from msr.losses import FAMILIES
from msr.objective import Objective
from msr.spaces import Spaces
from msr.views import Views
from tests.small import pipelines
