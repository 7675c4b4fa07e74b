"""One torch thread per test process: two processes with two threads each fight over two cores."""

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    """No test reads or writes the user's own cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("MSR_DATA", raising=False)
        yield


@pytest.fixture(scope="session")
def photographs(tmp_path_factory):
    """A small folder of images: train/ and val/ with two classes, four formats and modes."""
    from PIL import Image

    root = tmp_path_factory.mktemp("photographs")
    generator = torch.Generator().manual_seed(0)
    for split, n in (("train", 24), ("val", 12)):
        for c, name in enumerate(("dark", "light")):
            (root / split / name).mkdir(parents=True)
            for i in range(n):
                noise = (
                    torch.randint(
                        0, 100, (40, 30 + i % 20, 3), generator=generator, dtype=torch.uint8
                    )
                    + 100 * c
                )
                image = Image.fromarray(noise.numpy())
                image = (
                    image.convert("L")
                    if i % 4 == 1
                    else image.convert("RGBA")
                    if i % 4 == 2
                    else image
                )
                image.save(root / split / name / f"{i}.{'png' if i % 2 == 0 else 'jpg'}")
    return root
