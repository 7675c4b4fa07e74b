"""Files as somebody would make them to do harm, and a guard for the tests that read them."""

import contextlib
import io
import os
import signal
import struct
import tarfile
import zlib
from pathlib import Path

import pytest
from pictures import blob, noise

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class TookTooLong(BaseException):
    """Not an Exception, which the reader of images would record and go on."""


def memory(name):
    """A line of this process's memory in MiB: VmRSS now, VmHWM the most since it was reset."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1024


@contextlib.contextmanager
def guarded(mib=64, seconds=10):
    """Fail if the block takes longer, or (on Linux) more memory than it found in use."""

    def stop(*_):
        raise TookTooLong(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    start = 0.0
    if RESET.exists():
        RESET.write_text("5")
        start = memory("VmRSS")
    try:
        yield
        if RESET.exists():
            assert memory("VmHWM") - start < mib, f"{memory('VmHWM') - start:.0f} MiB"
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def one_line(call, says):
    """Assert that a call raises ValueError, one line that is not long and says this."""
    with guarded(), pytest.raises(ValueError, match=says) as error:
        call()
    assert "\n" not in str(error.value) and len(str(error.value)) < 1000


class Evil:
    """A pickle that makes a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


# ---------------------------------------------------------------------------------------- images


def folder(path, n=30):
    """A folder of n good images."""
    path.mkdir(exist_ok=True)
    for i in range(n):
        (path / f"good{i}.png").write_bytes(blob(noise(i), "PNG"))
    return path


def reasons(train):
    """{base name: why it was skipped}."""
    return {os.path.basename(name): why for name, why in train.inspection.skipped.items()}


def chunk(kind, data):
    """A chunk of a PNG."""
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def png(side, *more):
    """A PNG that claims side × side pixels, with further chunks before its few bytes of data."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(more) + data


def claiming(kind, side):
    """A small image file whose header claims side × side pixels."""
    if kind == "PNG":
        return png(side)
    data = bytearray(blob(noise(0), kind) if kind != "WEBP" else lossless())
    if kind == "JPEG":
        struct.pack_into(">HH", data, data.index(b"\xff\xc0") + 5, side, side)
    elif kind == "GIF":
        struct.pack_into("<HH", data, 6, side, side)
    elif kind == "BMP":
        struct.pack_into("<ii", data, 18, side, side)
    elif kind == "PPM":
        data[:] = b"P6 %d %d 255\n" % (side, side) + data[-100:]
    elif kind == "WEBP":
        struct.pack_into("<I", data, 21, (side - 1) | (side - 1) << 14)
    elif kind == "TIFF":
        for tag in (256, 257):
            at = data.index(struct.pack("<HHI", tag, 4, 1))
            struct.pack_into("<HHII", data, at, tag, 4, 1, side)
    return bytes(data)


def lossless():
    """A small WebP without loss, which has its size in one place."""
    out = io.BytesIO()
    noise(0).save(out, "WEBP", lossless=True)
    return out.getvalue()


# ------------------------------------------------------------------------------------------ tars


def entry(name, content=b"", kind=tarfile.REGTYPE, size=None, target="", real=True):
    """The bytes of a member of a tar; it may claim another size than its content has."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    info.size = len(content) if size is None else size
    body = content + b"\0" * (-len(content) % 512) if real else b""
    return info.tobuf(tarfile.GNU_FORMAT) + body


def tar(path, *entries, end=b"\0" * 1024):
    """Write a tar of these members; returns its path as text."""
    path.write_bytes(b"".join(entries) + end)
    return str(path)
