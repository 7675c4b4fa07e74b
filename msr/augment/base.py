"""What every transform has: a draw of its parameters, their application, and declarations."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import torch

Params = dict[str, torch.Tensor]


class Kernel(NamedTuple):
    """A function of `kernels`, and what it needs to know of each image.

    numbers: float32 [B, …], or [1, …] where all images have the same.
    """

    run: Callable
    numbers: Sequence[torch.Tensor] = ()


class Transform:
    """One augmentation in two steps: `sample` draws its parameters, `apply` applies them.

    A subclass sets `name`, writes `draw` and `change`, and declares what the rest of the library
    needs to know: the groups it belongs to, what a style probe can predict of its draw (`targets`,
    `visible`, `in_probe`), which factors of an image it changes and hides, and which of its
    attributes only matter when it draws (`strengths`). Nowhere else are transforms listed by name.

    It may also have a compiled `kernel`, with which a pipeline does on a CPU what `apply` does. A
    subclass that overrides `change` or `apply` has none, unless it writes one of its own.

    p: the probability that an image is changed at all. Raises ValueError outside [0, 1].
    """

    name: str = "transform"  # unique in a pipeline
    groups: tuple[str, ...] = ()  # augmentation groups that it belongs to
    # how style probes apply it: to every image, to none, or as drawn
    in_probe: Literal["always", "never", "drawn"] = "never"
    visible: tuple[str, ...] = ()  # targets that a view shows in part without the plain image
    strengths: tuple[str, ...] = ()  # attributes that `draw` alone reads, and `apply` does not
    random: bool = True  # false: nothing is drawn, so nothing can be shared

    def __init__(self, p: float = 1.0):
        if not 0 <= p <= 1:
            raise ValueError(f"{self.name}: probability {p} is not in [0, 1]; give 0 to 1")
        self.p = p

    def __init_subclass__(cls, **options: Any):
        super().__init_subclass__(**options)
        if {"change", "apply"} & vars(cls).keys() and "kernel" not in vars(cls):
            cls.kernel = Transform.kernel  # type: ignore[method-assign]

    def sample(self, generator: torch.Generator, n: int, size: int) -> Params:
        """Draw parameters for n images of size × size pixels: {parameter: [n, …]}.

        They lie on the generator's device. Every random transform has the parameter `on`, bool [n]:
        whether the image is changed.
        """
        on = uniform(generator, n, 0, 1) < self.p
        return {"on": on} | self.draw(generator, n, size)

    def apply(self, x: torch.Tensor, params: Params, inplace: bool = False) -> torch.Tensor:
        """Return x [B, C, H, W] changed as `params` say; where `on` is false, it is unchanged.

        inplace: whether x may be overwritten. What is returned may be x itself.
        """
        return changed(x, params["on"], self.change, params, inplace)

    def alike(self, other: Transform) -> bool:
        """Return whether `other` makes the same image of the same parameters.

        It does if it is of the same class and equal in every attribute but `p` and `strengths`.
        """
        if self is other:
            return True
        mine, others = (
            {k: v for k, v in vars(t).items() if k not in ("p", *t.strengths)}
            for t in (self, other)
        )
        return type(self) is type(other) and mine == others

    def draw(self, generator: torch.Generator, n: int, size: int) -> Params:
        """Draw the parameters other than `on`, {parameter: [n, …]}; by default there are none.

        size: the side of the images in pixels.
        """
        return {}

    def change(self, x: torch.Tensor, params: Params) -> torch.Tensor:
        """Return x [B, C, H, W] with every image changed, whatever `on` says, as a new tensor.

        x itself stays as it is.
        """
        raise NotImplementedError

    def kernel(self, params: Params, shape: Sequence[int]) -> Kernel | None:
        """Return what changes images of this shape (C, H, W) on a CPU, or None: `apply` does.

        Its `run` is called with NumPy arrays, which are images x [B, C, H, W], float32, that it
        changes in place where `on` [B] is true; then `on`; then its numbers.
        """
        return None

    def targets(self, params: Params) -> Params:
        """Return what a style probe can predict of the draw: {name: [n] or [n, k]}."""
        return {}

    @property
    def changes(self) -> tuple[str, ...]:
        """The factors of an image (color, x, orientation, …) that it changes."""
        return ()

    @property
    def hides(self) -> tuple[str, ...]:
        """Those of `changes` that no view shows any more, if all images are changed strongly."""
        return ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v}' for k, v in vars(self).items())})"


def changed(
    x: torch.Tensor,
    on: torch.Tensor,
    change: Callable[[torch.Tensor, Params], torch.Tensor],
    params: Params,
    inplace: bool = False,
) -> torch.Tensor:
    """Return x [B, C, H, W] with the images where on [B] is true replaced by `change(x, params)`.

    On a CPU only these images pass through `change`. On a GPU all do, since the host would have to
    wait to learn which they are. inplace: whether x may be overwritten. Raises ValueError for
    parameters of another number of images.
    """
    if len(on) != len(x):
        raise ValueError(f"parameters of {len(on)} images for a batch of {len(x)}; draw {len(x)}")
    if x.device.type != "cpu":
        return torch.where(column(on), change(x, params), x)
    rows = on.nonzero()[:, 0]
    if len(rows) == len(x):
        return change(x, params)
    if not len(rows):
        return x
    some = {name: value.index_select(0, rows) for name, value in params.items()}
    y = change(x.index_select(0, rows), some)
    out = x if inplace and x.is_contiguous() else x.clone(memory_format=torch.contiguous_format)
    return out.index_copy_(0, rows, y.to(x.dtype))


def within(name: str, value: float | tuple[float, ...], low: float, high: float = math.inf) -> None:
    """Raise ValueError, one line, unless low ≤ value ≤ high and the value is finite.

    A range of two values must also be in order. name: of the transform and its argument.
    """
    values = value if isinstance(value, tuple) else (value,)
    fits = all(low <= v <= high and math.isfinite(v) for v in values)
    if not fits or values[0] > values[-1]:
        bounds = f"{low:g} or more" if high == math.inf else f"{low:g} to {high:g}"
        pair = ", (low, high) with low ≤ high" if isinstance(value, tuple) else ""
        raise ValueError(f"{name} = {value}; give {bounds}{pair}")


def uniform(generator: torch.Generator, n: int, low: float, high: float) -> torch.Tensor:
    """Draw n numbers from U(low, high), float32 [n], on the generator's device."""
    return torch.rand(n, generator=generator, device=generator.device) * (high - low) + low


def column(v: torch.Tensor) -> torch.Tensor:
    """Reshape v [B] to [B, 1, 1, 1], to broadcast over images [B, C, H, W]."""
    return v[:, None, None, None]


def constant(values: Sequence[float], device: torch.device) -> torch.Tensor:
    """Return the numbers as float32 [n], written by the device itself.

    `torch.tensor(values, device=device)` would copy them from the host, and a GPU would be waited
    for.
    """
    return torch.stack([torch.full((), v, dtype=torch.float32, device=device) for v in values])


def to_float(images: torch.Tensor) -> torch.Tensor:
    """Return images of any shape, uint8 or float in [0, 1], as float32 in [0, 1]."""
    return images.float() / 255 if images.dtype == torch.uint8 else images.float()
