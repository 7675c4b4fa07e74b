"""Kernels that write images resampled: copies, crops and affine maps."""

from __future__ import annotations

import numpy as np

from msr.augment.kernels.compiled import clamped, compiled, f4


@compiled
def floats(image, out):
    """Write an image [C, H, W], uint8 or in [0, 1], as float32 in [0, 1]."""
    pixels, values = image.reshape(image.size), out.reshape(out.size)
    for i in range(pixels.size):
        values[i] = f4(pixels[i])
    from_bytes(image, values)


@compiled
def from_bytes(image, values):
    """Divide values by 255, if they are those of a uint8 image."""
    if image.itemsize == 1:
        for i in range(len(values)):
            values[i] /= f4(255)


@compiled
def turned(image, down, across, out):
    """Write an image as `floats` does, mirrored down the columns, across the rows, or both."""
    last, end = image.shape[1] - 1, image.shape[2] - 1
    for c in range(len(image)):
        for y in range(last + 1):
            row, line = image[c, last - y if down else y], out[c, y]
            for x in range(end + 1):
                line[x] = f4(row[end - x]) if across else f4(row[x])
            from_bytes(image, line)


@compiled
def copy(source, which, out):
    """Write the images as they are."""
    for i in range(len(out)):
        floats(source[which[i]], out[i])


@compiled
def by_pixel(x, out):
    """Write images [B, C, H, W] with the channels of a pixel side by side, [B, H, W, C]."""
    for i in range(len(x)):
        channels, size = len(x[i]), x[i, 0].size
        values, pixels = x[i].reshape(channels, size), out[i].reshape(size * channels)
        if channels == 3:  # known to the compiler, this takes half the time
            interleaved(values, pixels, 3)
        else:
            interleaved(values, pixels, channels)


@compiled
def interleaved(values, pixels, channels):
    """Write values [C, H·W] with the channels of a pixel side by side, [H·W·C]."""
    for k in range(values.shape[1]):
        for c in range(channels):
            pixels[channels * k + c] = values[c, k]


@compiled
def between(start, length, n, size, first, weight):
    """Write where `size` pixels of a box lie between n pixels, as `spatial.between` has it.

    first: the pixel before [size]; weight: of the two from it on [2, size].
    """
    start, length = float(start) * n, float(length) * n  # in pixels; float64
    half, middle = max(abs(length) / 2 - 0.5, 0.0), start + length / 2
    for i in range(size):
        at = start + length * (i + 0.5) / size
        at = clamped(clamped(at, middle - half, middle + half) - 0.5, 0.0, n - 1.0)
        first[i] = min(int(at), max(n - 2, 0))
        weight[0, i], weight[1, i] = f4(1 - (at - first[i])), f4(at - first[i])


@compiled
def averaged(start, length, n, size, first, weight):
    """Write which pixels are averaged, and with what weights, as `spatial.resample` has it.

    first: the first pixel [size]; weight: of those from it on [taps, size].
    """
    one, last = float(start) * n, (float(start) + float(length)) * n
    low, high, step = min(one, last), max(one, last), (last - one) / size
    reach, outside = max(abs(step), 1.0), high <= 0.5 or low >= n - 0.5
    for i in range(size):
        centre = clamped(one + (i + 0.5) * step, 0.5, n - 0.5)
        first[i] = int(clamped(np.ceil(centre - reach - 0.5), 0.0, n - 1.0))
        total = 0.0
        for k in range(len(weight)):
            pixel = first[i] + k
            inside = clamped(min(pixel + 1.0, high) - max(float(pixel), low), 1e-6, 1.0)
            triangle = max(1 - abs(pixel + 0.5 - centre) / reach, 0.0)
            share = triangle * (1.0 if outside else inside) if pixel < n else 0.0
            weight[k, i] = f4(share)
            total += share
        for k in range(len(weight)):
            weight[k, i] /= f4(total)


@compiled
def resized(image, box, out):
    """Write the box (top, left, height, width) of an image [C, h, w], as `spatial.cut` does."""
    h, w = image.shape[1:]
    size = out.shape[1]
    tall, wide = abs(box[2]) * h, abs(box[3]) * w
    shrunk = tall > size or wide > size
    taps = int(2 * max(tall, wide) / size) + 2 if shrunk else 2
    first, weight = np.zeros((2, size), np.int32), np.zeros((2, taps, size), f4)
    if shrunk:
        averaged(box[0], box[2], h, size, first[0], weight[0])
        averaged(box[1], box[3], w, size, first[1], weight[1])
    else:
        between(box[0], box[2], h, size, first[0], weight[0])
        between(box[1], box[3], w, size, first[1], weight[1])
    if taps == 2:
        two_taps(image, first, weight, out)
    else:
        many_taps(image, first, weight, out)


@compiled
def two_taps(image, first, weight, out):
    """Write sums of four pixels each: of two rows first, then of two columns.

    first: the first row and column of each sum [2, size]; weight: [2, taps, size].
    """
    h, w = image.shape[1:]
    row = np.zeros(w + 1, f4)
    left, right = first[1].min(), min(first[1].max() + 2, w)
    part, column, before, after = row[left:right], first[1], weight[1, 0], weight[1, 1]
    for c in range(image.shape[0]):
        for y in range(out.shape[1]):
            upper = image[c, first[0, y], left:right]
            lower = image[c, min(first[0, y] + 1, h - 1), left:right]
            a, b, line = weight[0, 0, y], weight[0, 1, y], out[c, y]
            for i in range(len(part)):
                part[i] = a * f4(upper[i]) + b * f4(lower[i])
            from_bytes(image, part)
            for i in range(len(line)):
                at = column[i]
                line[i] = before[i] * row[at] + after[i] * row[at + 1]


@compiled
def many_taps(image, first, weight, out):
    """Write sums as `two_taps` does, of `taps` rows and columns."""
    h, w = image.shape[1:]
    taps = weight.shape[1]
    scale, row = f4(1 / 255) if image.itemsize == 1 else f4(1), np.zeros(w + taps, f4)
    left, right = first[1].min(), min(first[1].max() + taps, w)
    part, column = row[left:right], first[1]
    for c in range(image.shape[0]):
        for y in range(out.shape[1]):
            part[:] = f4(0)
            for k in range(taps):
                share = weight[0, k, y] * scale
                if share > 0:
                    source = image[c, first[0, y] + k, left:right]
                    for i in range(len(part)):
                        part[i] += share * f4(source[i])
            line = out[c, y]
            line[:] = f4(0)
            for k in range(taps):
                for i in range(len(line)):
                    line[i] += weight[1, k, i] * row[column[i] + k]


@compiled
def crop(source, which, boxes, out):
    """Cut out boxes [B, 4] and resize them, as `spatial.cut` does."""
    whole = source.shape[2:] == out.shape[2:]
    for i in range(len(out)):
        image, (top, left, height, width) = source[which[i]], boxes[i]
        down, across = height < 0, width < 0
        if whole and abs(height) == 1 and abs(width) == 1 and top == down and left == across:
            turned(image, down, across, out[i])
        else:
            resized(image, boxes[i], out[i])


@compiled
def warp(source, which, on, theta, out):
    """Resample images by affine maps [B, 6] of (x, y, 1), with zeros beyond the edges.

    As `affine_grid` and `grid_sample` do. An image that is not on is written as it is.
    """
    for i in range(len(out)):
        if on[i]:
            zero_padded(source[which[i]], theta[i], out[i])
        else:
            floats(source[which[i]], out[i])


@compiled
def zero_padded(image, theta, out):
    """Write an image [C, h, w], resampled by an affine map [6], with zeros beyond the edges."""
    channels, h, w = image.shape
    scale = f4(1 / 255) if image.itemsize == 1 else f4(1)
    rows, columns = out.shape[1:]
    for y in range(rows):
        down = f4(2 * y + 1) / f4(rows) - f4(1)
        for x in range(columns):
            across = f4(2 * x + 1) / f4(columns) - f4(1)
            at_x = theta[0] * across + theta[1] * down + theta[2]
            at_y = theta[3] * across + theta[4] * down + theta[5]
            at_x = clamped(((at_x + f4(1)) * f4(w) - f4(1)) / f4(2), f4(-1), f4(w))
            at_y = clamped(((at_y + f4(1)) * f4(h) - f4(1)) / f4(2), f4(-1), f4(h))
            left, top = int(np.floor(at_x)), int(np.floor(at_y))
            right_share, low_share = at_x - f4(left), at_y - f4(top)
            for c in range(channels):
                value = f4(0)
                for k in range(4):
                    row, column = top + k // 2, left + k % 2
                    if 0 <= row < h and 0 <= column < w:
                        share = low_share if k // 2 else f4(1) - low_share
                        share *= right_share if k % 2 else f4(1) - right_share
                        value += share * f4(image[c, row, column])
                out[c, y, x] = value * scale
