"""What holds for every draw of data: indices, batches, shards, patterns and folders."""

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import blob, noise
from test_shards import write_tar

from msr import data, dist
from msr.data import Batches, Images, dsprites, shards

# A few different pictures: image i is recognised by its pixels.
PICTURES = [blob(noise(i, (12, 12)), "PNG") for i in range(12)]


# ------------------------------------------------------------------------------------- the sprites


@given(st.lists(st.integers(0, dsprites.N - 1), min_size=1, max_size=20), st.floats(0, 1))
def test_the_index_of_a_sprite_is_its_classes(indices, share):
    index = torch.tensor(indices)
    classes = dsprites.classes_of(index)
    assert torch.equal(dsprites.index_of(classes), index)
    assert all((0 <= v).all() and (v < dsprites.RADIX[k]).all() for k, v in classes.items())
    held_out = dsprites.is_test(index, share)
    assert torch.equal(held_out, torch.cat([dsprites.is_test(i[None], share) for i in index]))
    assert (held_out <= dsprites.is_test(index, min(1.0, 2 * share))).all(), "a larger share has it"
    turned = dict(classes, orientation=39 - 39 * (classes["orientation"] > 0).long())
    ends = [
        dsprites.is_test(dsprites.index_of(dict(turned, orientation=o * torch.ones_like(index))))
        for o in (0, 39)
    ]
    assert torch.equal(*ends), "0 and 2π look alike"


@given(st.integers(-(2**40), 2**40))
def test_an_index_outside_is_refused(i):
    if 0 <= i < dsprites.N:
        assert len(dsprites.classes_of(torch.tensor([i]))["x"]) == 1
    else:
        with pytest.raises(ValueError, match="is outside"):
            dsprites.classes_of(torch.tensor([i]))


@given(st.integers(0, 300), st.integers(0, 2**31), st.booleans(), st.floats(0.05, 0.95))
def test_sprites_are_drawn_once_each_on_their_side(n, seed, test, share):
    index = dsprites.draw(n, seed, test, share)
    assert len(index) == n == len(index.unique())
    assert (dsprites.is_test(index, share) == test).all()


# --------------------------------------------------------------------------------------- batches


def numbered(n):
    """Images whose first pixel is their number."""
    pixels = torch.arange(n, dtype=torch.uint8)[:, None, None, None].expand(n, 3, 1, 1)
    return Images(1, pixels)


@given(
    st.integers(1, 200),
    st.integers(1, 6),
    st.integers(1, 10),
    st.integers(0, 9),
    st.integers(0, 50),
)
def test_an_epoch_holds_each_image_at_most_once(n, local, ranks, seed, epoch):
    """On any number of ranks the batches are those of one rank, cut up."""
    size, images = local * ranks, numbered(n)
    if size > n:
        with pytest.raises(ValueError, match=f"give {n} or less"):
            Batches(images, size, seed)
        return
    alone = [b[:, 0, 0, 0].tolist() for b in Batches(images, size, seed).epoch(epoch)]
    parts = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dist, "world_size", lambda: ranks)
        for rank in range(ranks):
            patch.setattr(dist, "rank", lambda rank=rank: rank)
            batches = Batches(images, size, seed)
            mine = [b[:, 0, 0, 0].tolist() for b in batches.epoch(epoch)]
            start = (seed + epoch) % (len(batches) + 1)
            later = [b[:, 0, 0, 0].tolist() for b in batches.epoch(epoch, start)]
            assert later == mine[start:], "resumed from any step"
            parts.append(mine)
    assert [sum(cut, []) for cut in zip(*parts)] == alone
    seen = sum(alone, [])
    assert len(seen) == len(set(seen)) == n // size * size
    other = [b[:, 0, 0, 0].tolist() for b in Batches(images, size, seed).epoch(epoch + 1)]
    assert n < 20 or other != alone, "another epoch has another order"


# ---------------------------------------------------------------------------- shards and patterns

letters = st.text(
    st.characters(codec="utf-8", exclude_characters="/\0", categories=("L", "N", "P", "S", "Z")),
    min_size=1,
    max_size=12,
)
kinds = st.sampled_from([".png", ".PNG", ".jpg", ".00.png", ".seg.png", ".cls", ".json", ""])
stems = st.sampled_from("xy") | letters  # often the same, so that names collide
members = st.builds("{}{}{}".format, st.sampled_from(["", "a/", "b/ä/", "./"]), stems, kinds)


def contents(source):
    """The bytes of every image of a source."""
    return [source.open(i).getvalue() for i in range(len(source))]


def key(name):
    """The sample that a member belongs to: its folder, and its name up to the first dot."""
    folder, base = os.path.split(name)
    return folder, base.partition(".")[0]


def part(name):
    """Whether a member is an image of something else than its sample, such as x.seg.png."""
    return os.path.basename(name).count(".") > 1


@given(st.lists(members, min_size=1, max_size=12, unique=True))
def test_a_shard_gives_each_image_once_or_says_why_not(names):
    images = [name for name in names if name.lower().endswith((".png", ".jpg"))]
    blobs = dict(zip(images, PICTURES))
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/a.tar"
        write_tar(path, {name: blobs.get(name, b"7") for name in names})
        try:
            source, classes, problems, *_ = shards.read([path])
        except ValueError as error:
            assert "\n" not in str(error) and any(os.path.basename(n) in str(error) for n in images)
            return
        found = contents(source)
        assert len(found) == len(set(found)) == len(classes) and not problems
        assert set(found) <= set(blobs.values())
        kept = {n.removeprefix(f"{path}/") for n in source.names}
        assert kept <= set(images) and all(blobs[n] in found for n in kept)
        # what is left out is another part of a sample that has an image, as WebDataset names them
        plain = {n for n in kept if os.path.basename(n).count(".") == 1}
        for name in set(images) - kept:
            assert part(name) and {n for n in plain if key(n) == key(name)} or not key(name)[1], (
                name
            )


@given(st.text(st.sampled_from("a{}.,0129*?[]~\\/é\0\n$ "), max_size=14))
def test_a_pattern_stands_for_paths_or_is_refused(text):
    with tempfile.TemporaryDirectory() as folder:
        for name in ("a0.tar", "a1.tar", "a2.tar"):
            Path(folder, name).touch()
        try:
            found = shards.expand(f"{folder}/{text}")
        except ValueError as error:
            assert "\n" not in str(error).strip() or "\n" in text
        else:
            assert found and all(os.path.exists(path) for path in found)


# --------------------------------------------------------------------------------------- folders

raw = st.binary(min_size=1, max_size=200).filter(
    lambda b: b"/" not in b and b"\0" not in b and b not in (b".", b"..")
)


@settings(max_examples=min(100, settings.default.max_examples))  # each reads some 40 files
@given(
    st.lists(raw, min_size=2, max_size=3, unique=True),
    st.lists(raw, min_size=6, max_size=8, unique=True),
)
def test_a_folder_of_any_names_is_read(classes, names):
    """Names are any bytes: newlines, what is no UTF-8, as long as the disk allows."""
    with tempfile.TemporaryDirectory() as folder:
        root = os.fsencode(folder)
        for c, name in enumerate(classes):
            os.mkdir(os.path.join(root, name))
            for other in names:
                Path(os.fsdecode(os.path.join(root, name, other + b".png"))).write_bytes(
                    PICTURES[c]
                )
        train, val = data.load(folder, 12, val_share=0.2)
        total = len(classes) * len(names)
        assert len(train) + len(val) == total and not train.inspection.skipped
        assert train.classes["class"] == sorted(os.fsdecode(name) for name in classes)
        for split in (train, val):
            for pixels, label in zip(split.loaded, split.labels["class"].tolist()):
                number = classes.index(os.fsencode(train.classes["class"][label]))
                assert np.array_equal(pixels.permute(1, 2, 0).numpy(), noise(number, (12, 12)))
        Path(folder, os.fsdecode(classes[0]), "broken\n.png").write_bytes(b"no")
        train, _ = data.load(folder, 12, val_share=0.2, max_bad=1.0)
        train.inspection.write(Path(folder, "files.json"))
        assert len(train.inspection.skipped) == 1
