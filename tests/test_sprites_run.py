"""The sprites experiment: bad input in one line, cells that share data, a swap task whose answer is known, one small run."""

import pytest
import torch

from msr.report import tables as report
from msr.experiments import sprites
from msr.data import dsprites as data
from msr.views import Views

SMALL = dict(
    epochs=1,
    study_epochs=0,
    max_images=64,
    probe_images=60,
    seeds=1,
    seed=0,
    groups="appearance,spatial",
    strength="strong",
    family="entropy",
    sizes="3,3,5",
    lambdas="1",
    temperature=1.0,
    paired=False,
    separate_style=False,
    backbone="cnn",
    width=4,
    hidden="16",
    batch_size=32,
    optimizer="adamw",
    lr=1e-3,
    warmup=0.1,
    image_size=32,
    continuous=False,
    npz="",
    precision="float32",
    device="cpu",
    fresh=False,
    out_dir="",
    profile="",
)

PARTS = [("content", 0), ("appearance", 1), ("spatial", 2)]


@pytest.mark.parametrize(
    "changes, says",
    [
        ({"strength": "stong"}, "unknown strength 'stong' .did you mean 'strong'"),
        ({"family": "simclear"}, "unknown family 'simclear'"),
        ({"groups": "apperance,spatial"}, "unknown group 'apperance'"),
        ({"sizes": "3,3"}, "3 spaces .content, appearance, spatial. but 2 sizes"),
        ({"batch_size": 65}, "batch_size 65 is larger than the 64 training images"),
        ({"temperature": 0}, "temperature = 0; give a number above 0"),
        ({"probe_images": 10}, "probe_images = 10; give a whole number, 50 or more"),
        ({"npz": "/nowhere.npz"}, "npz '/nowhere.npz' is not there"),
        ({"paired": "maybe"}, "paired = 'maybe'; give True or False"),
        ({"backbone": "vgg16"}, "unknown backbone 'vgg16'"),
        ({"epoch": 1}, "unknown parameter 'epoch' .did you mean 'epochs'"),
    ],
)
def test_bad_input_is_one_clear_line(changes, says):
    with pytest.raises(ValueError, match=says) as error:
        sprites.prepare(**{**SMALL, **changes})
    assert "\n" not in str(error.value)


def test_a_small_run_gives_a_whole_table(tmp_path):
    setup = sprites.prepare(**{**SMALL, "out_dir": str(tmp_path)})
    run = setup.fit(0)
    table = sprites.probe(setup, run)
    assert set(table) == {"h", "content", "appearance", "spatial", "joined"}
    assert all(
        set(row) == {"shape", "color", "scale", "orientation", "x", "y"} for row in table.values()
    )
    assert sprites.targets(setup) == ["shape", "color", "scale", "orientation", "x", "y"]
    study = sprites.study(setup, 0, "again")
    assert study == {
        space: table[space] for space in ("content", "appearance", "spatial")
    }  # the same seed, the same numbers
    assert set(sprites.summary(study)) == {
        "shape",
        "color",
        "position",
        "color_in_content",
        "position_in_content",
    }
    cell = sprites.vary(
        setup, family="simclr", sizes="8,4,4", lambdas="", strength="weak", paired=True, epochs=2
    )
    assert (
        cell.train is setup.train
        and cell.settings.epochs == 2
        and cell.views.paired
        and cell.views.query.transforms["rotation"].degrees == 5
    )
    assert cell.build(0)[1].family == "simclr" and setup.build(0)[1].family == "entropy"


def test_continuous_factors_have_a_hue():
    setup = sprites.prepare(**{**SMALL, "continuous": "true"})
    assert sprites.targets(setup) == ["shape", "hue", "scale", "orientation", "x", "y"]


def test_temperature_reaches_the_objective():
    z = torch.randn(4, 32, 11, generator=torch.Generator().manual_seed(0))
    losses = [
        sprites.prepare(**{**SMALL, "temperature": t}).build(0)[1](z).loss for t in (0.5, 1.0)
    ]
    assert losses[0] != losses[1]


def test_every_space_is_taken_from_the_sprite_that_gives_it():
    def of(groups):
        return sprites.parts(Views(sprites.STRENGTHS["strong"].pipeline(), None, groups))

    assert of(("appearance", "spatial")) == PARTS
    assert of(("color", "zoom", "translation", "rotation")) == [
        ("content", 0),
        ("color", 1),
        ("zoom", 2),
        ("translation", 2),
        ("rotation", 0),
    ]


@pytest.fixture(scope="module")
def task():
    return sprites.swap_task(20, seed=0, places=40, size=32)


def test_swap_task_asks_for_what_is_there(task):
    assert len({tuple(k) for k in task.key.tolist()}) == len(task.key)  # every answer is unique
    assert len(task.gallery.pixels.flatten(1).unique(dim=0)) == len(task.key)  # … to the eye, too
    for i, gives in enumerate(([0, 1], [2], [3])):
        same = task.key[task.queries[:, i]] == task.wanted
        content, color, place = same[:, :2].all(1), same[:, 2], same[:, 3]
        assert (
            same[:, gives].all() and (content.int() + color.int() + place.int() == 1).all()
        )  # gives its part, and no other
    assert all((task.key == w).all(1).any() for w in task.wanted)


def test_swap_finds_all_with_the_true_factors_and_little_with_wrong_ones(task):
    """With spaces that hold exactly one factor each, every triple is answered; wrong parts answer almost none."""

    class Known:
        def embed(self, run, split):
            content = 5 * task.key[:, 0] + task.key[:, 1]
            hot = [
                torch.nn.functional.one_hot(k).float().numpy()
                for k in (content, task.key[:, 2], task.key[:, 3])
            ]
            return dict(zip(("content", "appearance", "spatial"), hot))

    (score, found), (wrong, _) = sprites.swap(
        Known(), None, task, PARTS, [("appearance", 0), ("content", 1), ("content", 2)]
    )
    assert score == {
        "shape": 1.0,
        "orientation": 1.0,
        "color": 1.0,
        "place": 1.0,
        "all": 1.0,
    } and torch.equal(task.key[found], task.wanted)
    assert wrong["all"] < 0.3


def test_too_few_places():
    with pytest.raises(ValueError, match="give more places"):
        sprites.swap_task(500, seed=0, places=2, size=16)


def test_promises_are_read_from_the_table():
    def row(**values):
        return {k: {"value": v, "std": None, "n": 1} for k, v in values.items()}

    table = {
        "h": row(shape=0.9, x=0.8),
        "content": row(shape=0.7, x=0.01),
        "spatial": row(shape=0.4, x=0.6),
        "joined": row(shape=0.85, x=0.5),
    }
    text = report.sprites_promises(table, ("content", "spatial"))
    assert (
        "*shape*: 0.70 from `content`; 0.40 from `spatial`" in text
        and "lose at most 0.30 against $h$ (on x)" in text
    )
    four = report.sprites_promises(
        {"h": row(x=0.9), "content": row(x=0.1), "translation": row(x=0.8), "joined": row(x=0.9)},
        ("content", "translation"),
    )
    assert "*x*: 0.80 from `translation`; 0.10 from `content`" in four
