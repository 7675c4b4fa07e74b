"""Broken image files, made by mutating good ones, and a program that reads a range of them.

`python tests/mutants.py FIRST LAST FOLDER` reads the mutants FIRST … LAST − 1 as a run would, each
in at most SECONDS of processor time and BYTES of memory beyond what the imports take, and prints a
line of JSON before and after each. A mutant is a function of its number alone.
"""

import io
import json
import os
import random
import resource
import signal
import struct
import sys
import tarfile
import time
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

SECONDS, BYTES, SIZE = 5, 2**30, 32
KINDS = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "TAR")
EXTREMES = (0, 1, 0x7F, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


# ---------------------------------------------------------------------------------- the good files


def picture(seed, mode="RGB"):
    """A small picture: a ramp with noise on it."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(0, 200, 40 * 52 * 3).reshape(40, 52, 3)
    return Image.fromarray((ramp + rng.integers(0, 50, ramp.shape)).astype(np.uint8)).convert(mode)


def encoded(kind, seed, mode="RGB", **options):
    """The bytes of a picture's file."""
    out = io.BytesIO()
    picture(seed, mode).save(out, kind, **options)
    return out.getvalue()


def tarred(members):
    """The bytes of a tar file with these members, {name: bytes}."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def good():
    """{kind: files of that kind, with several modes and compressions}."""
    deep = io.BytesIO()
    Image.fromarray(np.arange(1600, dtype=np.uint16).reshape(40, 40) * 40).save(deep, "PNG")
    frames = {"save_all": True, "append_images": [picture(8), picture(9)]}
    found = {
        "JPEG": [
            encoded("JPEG", 0),
            encoded("JPEG", 1, progressive=True),
            encoded("JPEG", 2, "L"),
            encoded("JPEG", 3, "CMYK", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0"),
        ],
        "PNG": [
            encoded("PNG", 0),
            encoded("PNG", 1, "P", transparency=3),
            encoded("PNG", 2, "RGBA"),
            deep.getvalue(),
        ],
        "GIF": [encoded("GIF", 0), encoded("GIF", 1, **frames)],
        "WEBP": [encoded("WEBP", 0), encoded("WEBP", 1, "RGBA", lossless=True)],
        "TIFF": [
            encoded("TIFF", 0),
            encoded("TIFF", 1, compression="tiff_lzw"),
            encoded("TIFF", 2, compression="jpeg"),
            encoded("TIFF", 3, "CMYK", compression="tiff_adobe_deflate"),
        ],
        "BMP": [encoded("BMP", 0), encoded("BMP", 1, "P")],
        "PPM": [encoded("PPM", 0), encoded("PPM", 1, "L")],
    }
    some = {f"{i}.{kind.lower()}": found[kind][0] for i, kind in enumerate(("JPEG", "PNG", "BMP"))}
    text = {name.split(".")[0] + ".cls": b"3" for name in some}
    deep_names = {f"{'d' * 120}/{i}.png": found["PNG"][0] for i in range(2)}
    found["TAR"] = [tarred(some | text), tarred(deep_names)]
    return found


# ------------------------------------------------------------------------------------ the mutations


def truncated(rng, blob):
    """Cut off the end."""
    return bytes(blob[: rng.randrange(len(blob))])


def flipped(rng, blob):
    """Flip some bits."""
    for _ in range(rng.choice([1, 2, 8, 64])):
        blob[rng.randrange(len(blob))] ^= 1 << rng.randrange(8)


def swapped(rng, blob):
    """Exchange some bytes."""
    for _ in range(rng.choice([1, 4, 16])):
        i, j = rng.randrange(len(blob)), rng.randrange(len(blob))
        blob[i], blob[j] = blob[j], blob[i]


def zeroed(rng, blob):
    """Write zeros over a block."""
    start, n = rng.randrange(len(blob)), rng.choice([4, 64, 512])
    blob[start : start + n] = bytes(len(blob[start : start + n]))


def doubled(rng, blob):
    """Repeat a part."""
    start, n = rng.randrange(len(blob)), rng.choice([1, 16, 256, 2048])
    blob[start:start] = blob[start : start + n]


def noisy(rng, blob):
    """Write random bytes over a part."""
    start, n = rng.randrange(len(blob)), rng.choice([4, 32, 1024])
    blob[start : start + n] = rng.randbytes(len(blob[start : start + n]))


def joined(rng, blob):
    """Append another good file, or put it in front."""
    other = rng.choice(GOOD[rng.choice(KINDS)])
    return bytes(blob) + other if rng.random() < 0.5 else other + bytes(blob)


def extreme(rng, blob):
    """Write the smallest or largest numbers over fields of the header."""
    for _ in range(rng.choice([1, 1, 2, 3])):
        width, value = rng.choice([1, 2, 4]), rng.choice(EXTREMES)
        at = rng.randrange(min(len(blob) - 4, rng.choice([32, 128, 640])))
        order = rng.choice(["little", "big"])
        blob[at : at + width] = (value & (256**width - 1)).to_bytes(width, order)


def resized(rng, blob):
    """Claim other sizes, where the format keeps them, with the right checksum."""
    w, h = (rng.choice([0, 1, 7, 3000, 9000, 16000, 65535, 2**31 - 1, 2**32 - 1]) for _ in "wh")
    if blob[:4] == b"\x89PNG":
        blob[16:24] = struct.pack(">II", w, h)
        blob[29:33] = struct.pack(">I", zlib.crc32(blob[12:29]))
    elif blob[:2] == b"\xff\xd8":
        at = max(blob.find(b"\xff\xc0"), blob.find(b"\xff\xc2"))
        blob[at + 5 : at + 9] = struct.pack(">HH", h & 0xFFFF, w & 0xFFFF)
    elif blob[:3] == b"GIF":
        blob[6:10] = struct.pack("<HH", w & 0xFFFF, h & 0xFFFF)
    elif blob[:2] == b"BM":
        blob[18:26] = struct.pack("<II", w, h)
    elif blob[:1] == b"P":
        return bytes(blob[:3]) + f"{w} {h}\n255\n".encode() + bytes(blob[13:])
    else:
        resealed(rng, blob)


def resealed(rng, blob):
    """Change fields of a tar header, and correct its checksum; of other files, some numbers."""
    starts = [at for at in range(0, len(blob) - 511, 512) if blob[at + 257 : at + 262] == b"ustar"]
    if not starts:
        return extreme(rng, blob)
    at = rng.choice(starts)
    field, values = rng.choice(
        [
            ((0, 100), [b"../../up.jpg", b"/abs.png", b"\xff\xfe.jpg", b"a" * 100, b"", b"x.cls"]),
            ((124, 136), [b"77777777777\0", b"\x80" + b"\xff" * 11, b"-1", b"00000000000\0"]),
            ((124, 136), [b"\xff" * 12, b"\x80" + bytes(6) + b"\x40" + bytes(4), b"1x"]),
            ((156, 157), [bytes([c]) for c in b"012345678LKxgSVDM\0"]),
        ]
    )
    blob[at + field[0] : at + field[1]] = rng.choice(values).ljust(field[1] - field[0], b"\0")
    blob[at + 148 : at + 156] = b" " * 8
    blob[at + 148 : at + 156] = b"%06o\0 " % sum(blob[at : at + 512])


MUTATIONS = [truncated, flipped, swapped, zeroed, doubled, noisy, joined, extreme, resized]
GOOD = good()


def mutant(i):
    """(kind, mutation, bytes) of mutant i."""
    rng, kind = random.Random(i), KINDS[i % len(KINDS)]
    mutation = MUTATIONS[i // len(KINDS) % len(MUTATIONS)]
    blob = bytearray(rng.choice(GOOD[kind]))
    changed = mutation(rng, blob)
    return kind, mutation.__name__, bytes(blob if changed is None else changed)


# -------------------------------------------------------------------------------------- the reading


def memory(field):
    """A field of /proc/self/status in bytes: VmSize, or VmHWM, the peak of what was resident."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{field}:")[1].split()[0]) * 1024


def read(path, beside, kind):
    """Read a mutant as a run does; return why it was skipped, or "" where it was read."""
    from msr.data import files, shards

    if kind == "TAR":
        try:
            source, _, problems, *_ = shards.read([path])
        except ValueError as error:  # names that do not tell its images apart
            assert "\n" not in str(error) and os.path.basename(path) in str(error)
            return str(error)
        notes = [problems[path]] if problems else []
    else:
        source, notes = files.Files(files.Strings([path, beside])), []
    decoder = files.Decoder(source, SIZE)
    for i in range(len(source) if kind == "TAR" else 1):
        try:
            pixels, _, _, met = decoder[i]
        except ValueError as error:  # a shard without any good image
            assert kind == "TAR" and "files can be read" in str(error) and "\n" not in str(error)
            return str(error)
        assert pixels.shape == (3, SIZE, SIZE) and str(pixels.dtype) == "torch.uint8"
        notes += [why for _, mode, why in met if not mode]
    assert not any("\n" in note for note in notes), notes
    return "; ".join(notes)


def main(first, last, folder):
    """Read the mutants one by one, then all images among them as one folder of `msr.data.load`."""
    from msr import data

    folder = Path(folder)
    beside = str(folder / "good.png")
    Path(beside).write_bytes(GOOD["PNG"][0])
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # its default is to end the process
    read(beside, beside, "PNG")
    limit = memory("VmSize") + BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    (folder / "all").mkdir()
    expected = 0
    for i in range(first, last):
        kind, mutation, blob = mutant(i)
        path = (
            folder / ("all" if kind != "TAR" else ".") / f"{i}.{'tar' if kind == 'TAR' else 'jpg'}"
        )
        path.write_bytes(blob)
        print(json.dumps({"begin": i, "kind": kind, "mutation": mutation}), flush=True)
        Path("/proc/self/clear_refs").write_text("5")  # VmHWM begins anew
        before, start = memory("VmHWM"), time.process_time()
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        why = read(str(path), beside, kind)
        signal.setitimer(signal.ITIMER_PROF, 0)
        expected += kind != "TAR" and not why
        seconds, peak = time.process_time() - start, memory("VmHWM") - before
        print(json.dumps({"end": i, "why": why, "seconds": seconds, "bytes": peak}), flush=True)
    for i in range(40):
        (folder / "all" / f"good{i}.png").write_bytes(GOOD["PNG"][i % 4])
    train, val = data.load(folder / "all", SIZE, max_bad=1.0)
    assert len(train) + len(val) == expected + 40
    print(json.dumps({"loaded": expected}), flush=True)


if __name__ == "__main__":
    os.environ["XDG_CACHE_HOME"] = sys.argv[3]
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
