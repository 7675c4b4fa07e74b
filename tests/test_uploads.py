"""A step makes no tensor on the host but the draws, and sends those to the device in two copies.

On fake CUDA tensors (see test_cuda_ready.py) every operation is seen by its name and devices; their
backward pass cannot run, so that of the CPU is watched. On a GPU the step runs where any wait for
the device is an error.
"""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from msr import augment, models
from msr.augment.presets import SPRITE_PRESETS
from msr.data.latents import Latents, LatentViews
from msr.losses import FAMILIES
from msr.objective import Objective
from msr.spaces import Spaces
from msr.train import Training, loop, optim
from msr.train.schedule import Schedule
from msr.train.state import State
from msr.views import Views

S, B = 16, 12
GROUPS = ("appearance", "spatial")
SPACES = Spaces.of(GROUPS, (8, 4, 4))
EVERY = augment.PRESETS | {f"sprites_{name}": step for name, step in SPRITE_PRESETS.items()}
pytestmark = pytest.mark.filterwarnings("ignore:CUDA is not available")


class Uploads(TorchDispatchMode):
    """Counts the tensors made from Python's data, and the copies from the CPU to the GPU."""

    def __init__(self):
        super().__init__()
        self.made, self.copied = 0, 0

    def __torch_dispatch__(self, f, types, args=(), kwargs=None):
        out = f(*args, **(kwargs or {}))
        tensors = [a for a in args if isinstance(a, torch.Tensor)]
        self.made += "lift_fresh" in str(f)
        if "copy" in str(f) and {t.device.type for t in [*tensors, out]} == {"cpu", "cuda"}:
            self.copied += 1
        return out


def state_of(family, optimizer="lars", device="cuda", paired=False, **settings):
    """A small network on the device, and its schedule: λ adapts and gradients are clipped."""
    with torch.device(device):  # parameters and buffers only
        model = models.MultiSpace(*models.backbone("cnn", S, width=4), SPACES, (16,))
        objective = Objective(family, SPACES, paired=paired, **settings)
    extra = dict(adaptive=True, dual_warmup_epochs=0, clip=1.0, epochs=2)
    schedule = Schedule(Training(optimizer=optimizer, batch_size=B, **extra), 2)
    made = optim.make(optimizer, model, 0.1, 1e-6)
    return State(model, objective, made, torch.Generator()), schedule


def step(state, schedule, views, images):
    terms = loop.forward(state.model, state.objective, views, images, state.generator, True)
    loop.update(state, schedule, terms)


def uploads(family, views, **more):
    """What the second step of a run on fake CUDA makes and copies, (made, copied)."""
    with FakeTensorMode(allow_non_fake_inputs=True), pytest.MonkeyPatch.context() as patch:
        state, schedule = state_of(family, **more)

        def backward(loss):
            for p in state.model.parameters():
                p.grad = torch.zeros_like(p)

        patch.setattr(torch.Tensor, "backward", backward)
        x = pixels()
        step(state, schedule, views, x)
        with Uploads() as found:
            step(state, schedule, views, x)
    return found.made, found.copied


def pixels(device="cuda"):
    return torch.randint(0, 256, (B, 3, S, S), dtype=torch.uint8, device=device)


@pytest.mark.parametrize(
    "family, paired", [*((family, False) for family in FAMILIES), ("simclr", True)]
)
def test_a_step_of_each_family_uploads_only_the_draws(family, paired):
    views = Views(*augment.pipelines("medium", S), GROUPS, paired)
    assert uploads(family, views, paired=paired) == (0, 2)  # the numbers and the bools


@pytest.mark.parametrize("preset", EVERY)
def test_the_views_of_each_preset_upload_only_the_draws(preset):
    views = Views(*augment.pipelines(EVERY[preset], S), GROUPS)
    with FakeTensorMode(), Uploads() as found:
        views(pixels(), torch.Generator())
    assert (found.made, found.copied) == (0, 2)


@pytest.mark.parametrize("optimizer", optim.OPTIMIZERS)
def test_a_step_of_each_optimizer_uploads_only_the_draws(optimizer):
    views = Views(*augment.pipelines("shapes", S), GROUPS)
    assert uploads("simclr", views, optimizer=optimizer) == (0, 2)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_whole_step_on_a_cpu_makes_nothing(family):
    views, x = Views(*augment.pipelines("strong", S), GROUPS), pixels("cpu")
    state, schedule = state_of(family, device="cpu")
    step(state, schedule, views, x)
    with Uploads() as found:
        step(state, schedule, views, x)
    assert found.made == 0 and state.step == 2


def test_every_transform_and_the_other_denominator():
    steps = [augment.ResizedCrop(S), augment.Rotation(9.0), augment.Equalise(), augment.Solarise()]
    steps += [augment.VerticalFlip(), augment.GaussianBlur(), augment.ColorJitter(hue=0.5)]
    query = augment.Pipeline([*steps, augment.Normalise()])
    key = augment.Pipeline([*steps, augment.Normalise((0.5,) * 3, (0.5,) * 3)])
    found = uploads("simclr", Views(query, key, GROUPS), denominator="ntxent", content_spread=0.5)
    assert found == (0, 4)  # two copies for the query, two for the keys


def test_latents_upload_their_noise_alone():
    latents = Latents(3, (1, 1), regime="causal")
    _ = latents.weights
    views = LatentViews(latents)
    with FakeTensorMode(allow_non_fake_inputs=True):
        z = torch.randn(B, 5, device="cuda")
        views(z, torch.Generator())
        with Uploads() as found:
            views(z, torch.Generator())
    assert (found.made, found.copied) == (0, 1)


def test_the_count_sees_a_constant():
    with FakeTensorMode(allow_non_fake_inputs=True), Uploads() as found:
        torch.tensor([1.0, 2.0], device="cuda")
        torch.zeros(2).to("cuda")
    assert (found.made, found.copied) == (1, 2)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("optimizer", optim.OPTIMIZERS)
def test_a_step_does_not_wait_for_the_gpu(family, optimizer):
    views, x = Views(*augment.pipelines("strong", S), GROUPS), pixels()
    state, schedule = state_of(family, optimizer)
    step(state, schedule, views, x)  # warms up
    torch.cuda.set_sync_debug_mode("error")
    try:
        step(state, schedule, views, x)
    finally:
        torch.cuda.set_sync_debug_mode("default")
