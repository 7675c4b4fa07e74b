"""What transforms do to images on a CPU, compiled by numba: one image at a time, in its cache.

`spatial` reads `source` [N, C, h, w], uint8 or float32 in [0, 1], and writes `out` [B, C, H, W],
whose image i is made of source[which[i]]. `appearance` changes images x [B, C, H, W] in place where
`on` [B] is true, and `by_pixel` writes them as channels_last. All are contiguous NumPy arrays, and
those that are written are float32. What is said of one image is said of [C, H, W]. Each function
names the one for PyTorch that it equals, up to rounding; a test compares them.
"""
