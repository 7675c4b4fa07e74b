"""Transforms that change what things look like: colour, contrast, blur and histogram."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F

from msr.augment.base import Kernel, Params, Transform, changed, column, constant, uniform, within
from msr.augment.colours import jittered, luma, shift_hue
from msr.augment.kernels import appearance as kernels

FAINT = -40.0  # least exponent of a kernel: denormal numbers would take ten times as long
CPU = torch.device("cpu")
FULL_CIRCLE = 0.5  # a shift of hue by up to half a turn either way reaches every hue


class ColorJitter(Transform):
    """Change brightness, contrast, saturation and hue, in that fixed order.

    With strength s, each of the first three is a factor in [max(0, 1 − s), 1 + s], and the hue is
    shifted by turns of the colour circle in [−s, s]. Each step equals torchvision's function.
    Departure: torchvision draws a random order for each BATCH; here the order is fixed, so that the
    four numbers alone say what was done. Parameters: brightness, contrast, saturation, hue, each
    [n]. Raises ValueError for a hue outside [0, 0.5] and for a negative strength.
    """

    name = "jitter"
    groups = ("appearance", "color")
    in_probe = "always"
    visible = ("brightness", "contrast", "saturation", "hue")
    strengths = ("brightness", "contrast", "saturation")  # without hue, nothing is shifted

    def __init__(
        self,
        brightness: float = 0.4,
        contrast: float = 0.4,
        saturation: float = 0.2,
        hue: float = 0.1,
        p: float = 0.8,
    ):
        super().__init__(p)
        if not 0 <= hue <= FULL_CIRCLE:
            raise ValueError(f"jitter: hue {hue} is in turns of the colour circle; give 0 to 0.5")
        for what, value in (
            ("brightness", brightness),
            ("contrast", contrast),
            ("saturation", saturation),
        ):
            within(f"jitter: {what}", value, 0, 1000)
        self.brightness, self.contrast = brightness, contrast
        self.saturation, self.hue = saturation, hue

    def draw(self, generator: torch.Generator, n: int, size: int) -> Params:
        factors = {}
        for name in ("brightness", "contrast", "saturation"):
            strength = getattr(self, name)
            factors[name] = uniform(generator, n, max(0, 1 - strength), 1 + strength)
        return factors | {"hue": uniform(generator, n, -self.hue, self.hue)}

    def change(self, x: torch.Tensor, params: Params) -> torch.Tensor:
        x = jittered(x, params)
        if not self.hue:
            return x
        on = params["hue"] != 0
        return changed(x, on, lambda x, p: shift_hue(x, p["hue"]), params, inplace=True)

    def kernel(self, params: Params, shape: Sequence[int]) -> Kernel | None:
        factors = torch.stack([params[k] for k in ("brightness", "contrast", "saturation")], 1)
        turns = params["hue"] if self.hue else torch.zeros_like(params["hue"])
        return Kernel(kernels.jitter, (factors, turns)) if shape[0] == 3 else None

    def targets(self, params: Params) -> Params:
        """Return the three factors [n], and the hue as an angle [n] in radians.

        If the hues span half of the circle or more, the hue is given as sine and cosine, [n, 2].
        """
        factors = {name: params[name] for name in ("brightness", "contrast", "saturation")}
        turn = 2 * math.pi * params["hue"]
        circular = self.hue >= FULL_CIRCLE / 2
        return factors | {"hue": torch.stack([turn.sin(), turn.cos()], 1) if circular else turn}

    @property
    def changes(self) -> tuple[str, ...]:
        return ("color", "hue")

    @property
    def hides(self) -> tuple[str, ...]:
        return self.changes if self.hue >= FULL_CIRCLE and self.p == 1 else ()


class Greyscale(Transform):
    """Replace the colours of an image by their brightness, `luma`."""

    name = "greyscale"
    groups = ("appearance", "color")

    def __init__(self, p: float = 0.2):
        super().__init__(p)

    def change(self, x: torch.Tensor, params: Params) -> torch.Tensor:
        return luma(x).repeat(1, 3, 1, 1)

    def kernel(self, params: Params, shape: Sequence[int]) -> Kernel | None:
        return Kernel(kernels.greyscale) if shape[0] == 3 else None

    @property
    def changes(self) -> tuple[str, ...]:
        return ("color", "hue")


class GaussianBlur(Transform):
    """Blur by a Gaussian with a standard deviation of `sigma` pixels, with reflected edges.

    The kernel is as wide as a tenth of the side (Chen et al. 2020), an odd number of pixels.
    Each image has a kernel of its own: blurring is two products with matrices that hold it in
    their diagonals. Parameter: sigma [n], drawn uniformly from (low, high).
    """

    name = "blur"
    groups = ("appearance", "texture")
    strengths = ("sigma",)

    def __init__(self, sigma: tuple[float, float] = (0.1, 2.0), p: float = 0.5):
        super().__init__(p)
        within("blur: sigma", tuple(sigma), 0.001, 1000)
        self.sigma = tuple(sigma)

    def draw(self, generator: torch.Generator, n: int, size: int) -> Params:
        low, high = self.sigma
        return {"sigma": uniform(generator, n, low, high)}

    def change(self, x: torch.Tensor, params: Params) -> torch.Tensor:
        down, across = (self.radius(n) for n in x.shape[2:])
        rows = band(params["sigma"], down, x.shape[2])
        cols = band(params["sigma"], across, x.shape[3])
        padded = F.pad(x, (across, across, 0, 0), mode="reflect")
        x = (padded.flatten(1, 2) @ cols.mT).view(x.shape)
        return rows[:, None] @ F.pad(x, (0, 0, down, down), mode="reflect")

    def kernel(self, params: Params, shape: Sequence[int]) -> Kernel | None:
        weights = [gaussian(params["sigma"], self.radius(n)) for n in shape[1:]]
        return Kernel(kernels.blur, weights)

    @property
    def changes(self) -> tuple[str, ...]:
        return ("texture",)

    @staticmethod
    def radius(size: int) -> int:
        """Return how many pixels the kernel reaches to either side, on an axis of `size` pixels."""
        return min(size - 1, max(1, round(0.1 * size) // 2))


def band(sigma: torch.Tensor, radius: int, n: int) -> torch.Tensor:
    """Return matrices [B, n, n + 2 · radius] that blur n pixels, given `radius` more on each side.

    Row i holds a Gaussian that is centred at i + radius, of standard deviation sigma [B], and sums
    to 1.
    """
    # the repetition of a row fills a matrix that is wider by one: a band
    row = F.pad(gaussian(sigma, radius), (0, n))
    width = n + 2 * radius
    return row.repeat(1, n)[:, : n * width].view(len(sigma), n, width)


def gaussian(sigma: torch.Tensor, radius: int) -> torch.Tensor:
    """Return Gaussians [B, 2 · radius + 1] of standard deviation sigma [B], which sum to 1."""
    tap = torch.arange(-radius, radius + 1, device=sigma.device)
    exponent = -0.5 * (tap / sigma[:, None]) ** 2
    return torch.softmax(exponent.clamp(min=FAINT), dim=1)


class Solarise(Transform):
    """Replace each value x that is at least `threshold`, in [0, 1], by 1 − x."""

    name = "solarise"
    groups = ("appearance", "color")

    def __init__(self, threshold: float = 0.5, p: float = 0.2):
        super().__init__(p)
        within("solarise: threshold", threshold, 0, 1000)
        self.threshold = threshold

    def change(self, x: torch.Tensor, params: Params) -> torch.Tensor:
        return torch.lerp(x, 1 - x, (x >= self.threshold).to(x.dtype))  # exact, as weights are 0, 1

    def kernel(self, params: Params, shape: Sequence[int]) -> Kernel | None:
        return Kernel(kernels.solarise, [constant([self.threshold], CPU)])

    @property
    def changes(self) -> tuple[str, ...]:
        return ("color", "hue")


class Equalise(Transform):
    """Make the histogram of each channel, of 256 values, flat, as torchvision's `equalize` does."""

    name = "equalise"
    groups = ("appearance", "color")

    def __init__(self, p: float = 0.1):
        super().__init__(p)

    def change(self, x: torch.Tensor, params: Params) -> torch.Tensor:
        level = (x * 255).round().long().flatten(2)  # [B, C, HW]
        count = torch.zeros(*level.shape[:2], 256, dtype=torch.long, device=x.device)
        count.scatter_add_(2, level, torch.ones_like(level))
        last = count.gather(2, level.amax(2, keepdim=True))  # pixels of the top level
        step = (level.shape[2] - last) // 255
        below = count.cumsum(2) - count
        table = ((below + step // 2) // step.clamp(min=1)).clamp(0, 255)
        flat = (table.gather(2, level).float() / 255).view_as(x)
        return torch.where((step == 0)[..., None], x, flat)

    @property
    def changes(self) -> tuple[str, ...]:
        return ("color", "hue")


class Expose(Transform):
    """Brighten an image whose brightest value is below `least`, so that it is `least`.

    All values are multiplied by one factor. So no change of colour before it can leave a view in
    which nothing is seen. Nothing is drawn; an image without light stays black. Raises ValueError
    for a `least` outside [0, 1].
    """

    name = "expose"
    random = False
    in_probe = "drawn"

    def __init__(self, least: float = 0.25):
        super().__init__()
        within("expose: least", least, 0, 1)
        self.least = least

    def sample(self, generator: torch.Generator, n: int, size: int) -> Params:
        return {}

    def apply(self, x: torch.Tensor, params: Params, inplace: bool = False) -> torch.Tensor:
        peak = x.amax(dim=(1, 2, 3))
        dark = (peak > 0) & (peak < self.least)
        scale = {"by": self.least / peak}
        return changed(x, dark, lambda x, p: x * column(p["by"]), scale, inplace)

    def kernel(self, params: Params, shape: Sequence[int]) -> Kernel | None:
        return Kernel(kernels.expose, [constant([self.least], CPU)])


class Normalise(Transform):
    """Map x to (x − mean) / std per channel, by default ImageNet's; nothing is drawn."""

    name = "normalise"
    random = False
    in_probe = "drawn"

    def __init__(
        self,
        mean: tuple[float, ...] = (0.485, 0.456, 0.406),
        std: tuple[float, ...] = (0.229, 0.224, 0.225),
    ):
        super().__init__()
        for m, s in zip(mean, std):
            within("normalise: mean", m, -1000, 1000)
            within("normalise: std", s, 0.001, 1000)
        self.mean, self.std = tuple(mean), tuple(std)

    def sample(self, generator: torch.Generator, n: int, size: int) -> Params:
        return {}

    def apply(self, x: torch.Tensor, params: Params, inplace: bool = False) -> torch.Tensor:
        mean, std = self._columns(x.device)
        fits = x.dtype == torch.float32 and x.shape[1] == len(self.mean)
        return (x.sub_(mean) if inplace and fits else x - mean).div_(std)

    def kernel(self, params: Params, shape: Sequence[int]) -> Kernel | None:
        fits = shape[0] == len(self.mean)  # else PyTorch broadcasts them
        both = [constant(v, CPU)[None] for v in (self.mean, self.std)]  # [1, C]
        return Kernel(kernels.normalise, both) if fits else None

    def undo(self, x: torch.Tensor) -> torch.Tensor:
        """Return normalised images [..., C, H, W] as float in [0, 1], on the CPU: for figures."""
        mean, std = self._columns(CPU)
        return (x.float().cpu() * std + mean).clamp(0, 1)

    def _columns(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        mean, std = (constant(v, device)[:, None, None] for v in (self.mean, self.std))
        return mean, std
