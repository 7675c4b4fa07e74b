"""What all tests share: one torch thread, a cache of their own, a folder of photographs."""

import hypothesis
import pytest
import torch

torch.set_num_threads(1)  # two test processes with two threads each would fight over two cores

# Property tests draw the same examples every time: few by default, many under `-m long`.
FEW, MANY = 25, 1000
hypothesis.settings.register_profile(
    "few",
    max_examples=FEW,
    derandomize=True,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
hypothesis.settings.register_profile(
    "many", hypothesis.settings.get_profile("few"), max_examples=MANY
)
hypothesis.settings.load_profile("few")


def pytest_configure(config):
    """Load the profile that the marker expression asks for, before any test is collected."""
    if config.option.markexpr == "long":
        hypothesis.settings.load_profile("many")


# Files that take longest: started first, so that two processes end at about the same time.
SLOWEST = ("test_restart", "test_disturbed", "test_recipes", "test_imagenet", "test_dist")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Put the slowest files first. Under `-m long` property tests run too, with many examples."""
    items.sort(key=lambda item: item.path.stem not in SLOWEST)
    if config.option.markexpr == "long":
        for item in items:
            if hypothesis.is_hypothesis_test(getattr(item, "obj", None)):
                item.add_marker("long")


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    """A cache for the tests alone: none of them reads or writes the user's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("MSR_DATA", raising=False)
        yield


@pytest.fixture(scope="session")
def photographs(tmp_path_factory):
    """A small folder of images: train/ and val/ with two classes, two formats and three modes."""
    from PIL import Image

    root = tmp_path_factory.mktemp("photographs")
    generator = torch.Generator().manual_seed(0)
    for split, n in (("train", 24), ("val", 12)):
        for c, name in enumerate(("dark", "light")):
            (root / split / name).mkdir(parents=True)
            for i in range(n):
                shape = (40, 30 + i % 20, 3)
                noise = torch.randint(0, 100, shape, generator=generator, dtype=torch.uint8)
                image = Image.fromarray((noise + 100 * c).numpy())
                if i % 4 in (1, 2):
                    image = image.convert("L" if i % 4 == 1 else "RGBA")
                image.save(root / split / name / f"{i}.{'png' if i % 2 == 0 else 'jpg'}")
    return root


collect_ignore = ["recipes"]  # sources that tests/test_recipes.py copies
