"""Kernels that change what images look like."""

from __future__ import annotations

import numpy as np

from msr.augment.colours import LUMA
from msr.augment.kernels.compiled import compiled, f4, unit

RED, GREEN, BLUE = (f4(weight) for weight in LUMA)
TINY = np.finfo(np.float32).tiny
UNSEEN = f4(1e-9)  # a weight that changes no float32


@compiled
def jitter(x, on, factors, turns):
    """Change brightness, contrast and saturation by factors [B, 3], and the hue by turns [B].

    As `colours.jittered` and `colours.shift_hue` do.
    """
    for i in range(len(x)):
        if on[i]:
            colours = x[i].reshape(3, x[i].size // 3)
            grey = brightened(colours[0], colours[1], colours[2], factors[i, 0])
            contrast = factors[i, 1]
            offset = (f4(1) - contrast) * grey
            stretched(colours[0], colours[1], colours[2], contrast, offset, factors[i, 2])
            if turns[i] != 0:
                turned(colours[0], colours[1], colours[2], turns[i])


@compiled
def brightened(red, green, blue, factor):
    """Multiply the colours by a factor, and return the mean of their luma."""
    sums = np.zeros(256, f4)  # of every 256th pixel: values that are added side by side
    for start in range(0, len(red), 256):
        stop = min(start + 256, len(red))
        r, g, b = red[start:stop], green[start:stop], blue[start:stop]
        for i in range(len(r)):
            r[i], g[i], b[i] = unit(r[i] * factor), unit(g[i] * factor), unit(b[i] * factor)
            sums[i] += RED * r[i] + GREEN * g[i] + BLUE * b[i]
    total = 0.0
    for i in range(len(sums)):
        total += float(sums[i])
    return f4(total / len(red))


@compiled
def stretched(red, green, blue, contrast, offset, saturation):
    """Multiply by the contrast and add an offset; then move away from grey by the saturation."""
    for i in range(len(red)):
        r, g = unit(red[i] * contrast + offset), unit(green[i] * contrast + offset)
        b = unit(blue[i] * contrast + offset)
        grey = (f4(1) - saturation) * (RED * r + GREEN * g + BLUE * b)
        red[i], green[i] = unit(saturation * r + grey), unit(saturation * g + grey)
        blue[i] = unit(saturation * b + grey)


@compiled
def turned(red, green, blue, turns):
    """Add turns of the colour circle to the hue, as `colours.shift_hue` does."""
    sixths = f4(6) * turns
    ahead_r, ahead_g, ahead_b = around(sixths), around(sixths - f4(2)), around(sixths - f4(4))
    for i in range(len(red)):
        r, g, b = red[i], green[i], blue[i]
        least = min(min(r, g), b)
        chroma = max(max(r, g), b) - least
        from_red = (g + b - r - least) / max(chroma, TINY) + f4(1)
        hue = abs(from_red) if g >= b else -abs(from_red)
        red[i] = unit(abs(abs(hue + ahead_r) - f4(3)) - f4(1)) * chroma + least
        green[i] = unit(abs(abs(hue + ahead_g) - f4(3)) - f4(1)) * chroma + least
        blue[i] = unit(abs(abs(hue + ahead_b) - f4(3)) - f4(1)) * chroma + least


@compiled
def around(sixths):
    """Return an angle in sixths of the circle, brought to −3 … 3."""
    return sixths - f4(6) * np.floor((sixths + f4(3)) / f4(6))


@compiled
def greyscale(x, on):
    """Replace the colours by their luma."""
    for i in range(len(x)):
        if on[i]:
            colours = x[i].reshape(3, x[i].size // 3)
            red, green, blue = colours[0], colours[1], colours[2]
            for k in range(len(red)):
                grey = RED * red[k] + GREEN * green[k] + BLUE * blue[k]
                red[k], green[k], blue[k] = grey, grey, grey


@compiled
def blur(x, on, down, across):
    """Blur by kernels down the columns and across the rows, [B, taps] each, with reflected edges.

    A kernel is symmetric and has an odd number of taps. As `GaussianBlur` does.
    """
    height, width = x.shape[2:]
    wide = width + across.shape[1] - 1
    padded = np.empty((height, wide), f4)
    some = np.empty((height + down.shape[1] - 1, wide), f4)
    for i in range(len(x)):
        if on[i]:
            for c in range(x.shape[1]):
                blurred(x[i, c], down[i], across[i], padded, some)


@compiled
def blurred(image, down, across, padded, some):
    """Blur one channel; `padded` and `some` are room for it with reflected edges.

    Rows lie one after the other, and are blurred as if they were one: what that makes of the edges
    between them is not used.
    """
    height, width = image.shape
    rim, top, wide = len(across) // 2, len(down) // 2, padded.shape[1]
    for y in range(height):
        padded[y, rim : rim + width] = image[y]
        for t in range(rim):
            padded[y, rim - 1 - t] = image[y, t + 1]
            padded[y, rim + width + t] = image[y, width - 2 - t]
    inner = some[top : top + height].reshape(padded.size)
    convolved(padded.reshape(padded.size), across, 1, inner[: padded.size - 2 * rim])
    for t in range(top):
        some[top - 1 - t] = some[top + 1 + t]
        some[top + height + t] = some[top + height - 2 - t]
    convolved(some.reshape(some.size), down, wide, padded.reshape(padded.size))
    for y in range(height):
        image[y] = padded[y, :width]


@compiled
def convolved(values, weights, step, out):
    """Write weighted sums of values that lie `step` apart: weights are symmetric, [taps]."""
    rim = len(weights) // 2
    for start in range(0, len(out), 2048):  # floats that lie in the fastest cache
        part, centre = out[start : start + 2048], start + rim * step
        middle = values[centre:]
        for i in range(len(part)):
            part[i] = weights[rim] * middle[i]
        for t in range(1, rim + 1, 2):  # two weights at once save passes over `part`
            u = min(t + 1, rim)
            weight, other = weights[rim + t], weights[rim + u] if u > t else f4(0)
            if weight > UNSEEN:
                a, b = values[centre - t * step :], values[centre + t * step :]
                c, d = values[centre - u * step :], values[centre + u * step :]
                for i in range(len(part)):
                    part[i] += weight * (a[i] + b[i]) + other * (c[i] + d[i])


@compiled
def solarise(x, on, threshold):
    """Replace values of at least threshold [B] by 1 minus them."""
    for i in range(len(x)):
        if on[i]:
            values, least = x[i].reshape(x[i].size), threshold[i]
            for k in range(len(values)):
                value = values[k]
                values[k] = f4(1) - value if value >= least else value


@compiled
def expose(x, on, least):
    """Brighten images whose brightest value is below least [B], so that it is that."""
    for i in range(len(x)):
        values = x[i].reshape(x[i].size)
        peak = f4(0)
        for k in range(len(values)):
            peak = max(peak, values[k])
        if on[i] and f4(0) < peak < least[i]:
            factor = least[i] / peak
            for k in range(len(values)):
                values[k] *= factor


@compiled
def normalise(x, on, mean, std):
    """Map values to (value − mean) / std, [B, C] each."""
    for i in range(len(x)):
        if on[i]:
            for c in range(x.shape[1]):
                values, centre = x[i, c].reshape(x[i, c].size), mean[i, c]
                scale = f4(1) / std[i, c]  # a product takes a fifth of the time of a division
                for k in range(len(values)):
                    values[k] = (values[k] - centre) * scale
