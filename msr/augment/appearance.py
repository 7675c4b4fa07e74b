"""Transforms that change what things look like: colour, contrast, blur and histogram."""

from __future__ import annotations

import math

import torch

from msr.augment.base import Params, Transform, column, constant, uniform, within

LUMA = (0.2989, 0.587, 0.114)  # weights of R, G and B (ITU-R 601, as in torchvision)
FULL_CIRCLE = 0.5  # a shift of hue by up to half a turn either way reaches every hue


def luma(x: torch.Tensor) -> torch.Tensor:
    """Return the brightness [B, 1, H, W] of images [B, 3, H, W]."""
    r, g, b = (weight * x[:, i : i + 1] for i, weight in enumerate(LUMA))
    return r + g + b


def blend(x: torch.Tensor, other: torch.Tensor | float, factor: torch.Tensor) -> torch.Tensor:
    """Return factor · x + (1 − factor) · other, clamped to [0, 1].

    x [B, 3, H, W], factor [B]; other: a number, or a tensor that broadcasts to x.
    """
    return (column(factor) * x).add_((1 - column(factor)) * other).clamp_(0, 1)


def shift_hue(x: torch.Tensor, turns: torch.Tensor) -> torch.Tensor:
    """Add `turns` [B] (1 is the whole circle) to the hue of x [B, 3, H, W], in HSV.

    Value and chroma are kept (Smith 1978). Where `turns` is 0 the image stays the same, bit for
    bit.
    """
    r, g, b = x.unbind(1)
    value = torch.maximum(torch.maximum(r, g), b)  # [B, H, W]
    chroma = value - torch.minimum(torch.minimum(r, g), b)
    difference = torch.where(value == r, g - b, torch.where(value == g, b - r, r - g))
    start = torch.where(value == r, 0.0, torch.where(value == g, 2.0, 4.0))
    sextant = difference / torch.where(chroma > 0, chroma, 1.0)
    sextant = sextant + start + 6 * turns[:, None, None]
    offset = constant((5, 3, 1), x.device)[:, None, None]  # R, G, B
    k = torch.remainder(offset + sextant[:, None], 6)  # [B, 3, H, W]
    share = torch.minimum(k, 4 - k).clamp_(0, 1)
    y = torch.addcmul(value[:, None], chroma[:, None], share, value=-1)
    return torch.where(column(turns) == 0, x, y)


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
        x = blend(x, 0, params["brightness"])
        x = blend(x, luma(x).mean((2, 3), keepdim=True), params["contrast"])
        x = blend(x, luma(x), params["saturation"])
        return shift_hue(x, params["hue"]) if self.hue else x

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
        return luma(x).expand_as(x)

    @property
    def changes(self) -> tuple[str, ...]:
        return ("color", "hue")


class GaussianBlur(Transform):
    """Blur by a Gaussian with a standard deviation of `sigma` pixels, with reflected edges.

    The kernel is as wide as a tenth of the side (Chen et al. 2020), an odd number of pixels.
    Departure: blurring is two matrix products, with [H, H] and [W, W], since each image has a
    kernel of its own. Parameter: sigma [n], drawn uniformly from (low, high).
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
        rows = blur_matrix(params["sigma"], x.shape[2], self.radius(x.shape[2]))
        cols = blur_matrix(params["sigma"], x.shape[3], self.radius(x.shape[3]))
        return rows[:, None] @ x @ cols[:, None].mT

    @property
    def changes(self) -> tuple[str, ...]:
        return ("texture",)

    @staticmethod
    def radius(size: int) -> int:
        """Return how many pixels the kernel reaches to either side, on an axis of `size` pixels."""
        return min(size - 1, max(1, round(0.1 * size) // 2))


def blur_matrix(sigma: torch.Tensor, n: int, radius: int) -> torch.Tensor:
    """Return matrices [B, n, n] that blur along an axis of n pixels.

    Row o holds a Gaussian centred at pixel o, cut off beyond `radius` pixels. sigma [B]: its
    standard deviation in pixels. What lies beyond an edge is reflected back.
    """
    tap = torch.arange(-radius, radius + 1, device=sigma.device)
    kernel = torch.softmax(-0.5 * (tap / sigma[:, None]) ** 2, dim=1)  # [B, taps]
    source = (torch.arange(n, device=sigma.device)[:, None] + tap).abs()  # [n, taps]
    source = (n - 1) - ((n - 1) - source).abs()
    matrix = sigma.new_zeros(len(sigma), n, n)
    return matrix.scatter_add_(
        2, source.expand(len(sigma), -1, -1), kernel[:, None].expand(-1, n, -1)
    )


class Solarise(Transform):
    """Replace each value x that is at least `threshold`, in [0, 1], by 1 − x."""

    name = "solarise"
    groups = ("appearance", "color")

    def __init__(self, threshold: float = 0.5, p: float = 0.2):
        super().__init__(p)
        within("solarise: threshold", threshold, 0, 1000)
        self.threshold = threshold

    def change(self, x: torch.Tensor, params: Params) -> torch.Tensor:
        return torch.where(x >= self.threshold, 1 - x, x)

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

    def apply(self, x: torch.Tensor, params: Params) -> torch.Tensor:
        peak = x.amax(dim=(1, 2, 3), keepdim=True)
        return torch.where((peak > 0) & (peak < self.least), x * (self.least / peak), x)


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

    def apply(self, x: torch.Tensor, params: Params) -> torch.Tensor:
        mean, std = self._columns(x.device)
        return (x - mean) / std

    def undo(self, x: torch.Tensor) -> torch.Tensor:
        """Return normalised images [..., C, H, W] as float in [0, 1], on the CPU: for figures."""
        mean, std = self._columns(torch.device("cpu"))
        return (x.float().cpu() * std + mean).clamp(0, 1)

    def _columns(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        mean, std = (constant(v, device)[:, None, None] for v in (self.mean, self.std))
        return mean, std
