"""Facts of the code that pages show as tables: what follows the images, and what presets hold.

python book/facts.py
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import footprint
from msr.augment import pipelines
from msr.experiments import imagenet
from msr.report.tables import grid

MARK = "<!-- here: "  # how a page names the place of a fact
ROOT = Path(__file__).resolve().parent.parent
# what a reader brings -> the parameters that say so
IMAGES = {
    "rendered shapes": {"data_dir": "shapes"},
    "photographs, 64 px": {"data_dir": "FOLDER", "image_size": 64},
    "photographs, 224 px": {"data_dir": "FOLDER", "image_size": 224},
}
FOLLOW = (
    "augmentation family sizes lambdas content_spread backbone width hidden batch_size optimizer lr"
)
PRESETS = {"shapes": 48, "small": 64, "medium": 224}  # augmentation -> pixels a side


def choices():
    """What each parameter becomes that is left empty, by the images."""
    found = [imagenet.plan(imagenet.Parameters(**given)).config for given in IMAGES.values()]
    rows = [[f"`{name}`", *(shown(getattr(c, name)) for c in found)] for name in FOLLOW.split()]
    return grid(["parameter", *IMAGES], rows)


def shown(value):
    """A parameter as a reader would give it."""
    if isinstance(value, tuple):
        return ", ".join(f"{v:g}" for v in value) or "the family's"
    return str(value)


def presets():
    """The transforms of each augmentation, and the groups that they belong to."""
    rows = []
    for name, size in PRESETS.items():
        query, key = pipelines(name, size)
        for step, transform in query.transforms.items():
            if transform.groups:
                groups = ", ".join(f"`{group}`" for group in (*transform.groups, step))
                other = key.transforms[step]
                by_key = f"; key: {other.p:g}" if other.p != transform.p else ""
                often = f"{transform.p:g}{by_key}"
                rows.append([f"`{name}`", type(transform).__name__, groups, often])
    return grid(["augmentation", "transform", "groups", "probability"], rows)


def speed():
    """How many views a second a step makes, and how long the worked example then takes."""
    found = json.loads((ROOT / "benchmarks" / "results.json").read_text())["steps"]
    views = found["rows"]["64 px, photographs: the network alone"]["ours"]  # of a whole step
    here, minutes = found["hardware"], 5000 * 20 * 4 / views / 60
    return (
        f"{here['cores']} cores of {here['cpu']} train on {views:,.0f} views of 64 px a second by "
        f"the augmentation `medium`, so a network of step 2 takes about {minutes:.0f} minutes."
    )


def recipes():
    """How to add a group, a family, a dataset or a page: that part of CONTRIBUTING.md.

    Its links lead to files of the repository, which the site does not have.
    """
    text = (ROOT / "CONTRIBUTING.md").read_text()
    part = re.search(r"(?<=\n## Recipes\n).*?(?=\n## )", text, re.DOTALL)[0]
    return re.sub(r"\[([^]]+)\]\((?!http)[^)]+\)", r"`\1`", part).strip()


TEXTS = {"choices": choices, "presets": presets, "speed": speed, "recipes": recipes}
TEXTS |= footprint.TEXTS


def filled(page):
    """The text of a page with the facts in the places that it names."""
    for name, text in TEXTS.items():
        if f"{MARK}{name} -->" in page:
            page = page.replace(f"{MARK}{name} -->", text())
    return page


if __name__ == "__main__":
    print("\n\n".join(text() for text in TEXTS.values()))
