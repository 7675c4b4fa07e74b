"""The sprites experiment: bad input in one line, a small run, shared data, a known swap."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from small import sprites_setup

from msr.augment.presets import SPRITE_PRESETS, pipelines
from msr.experiments import seen, sprites, swap
from msr.views import Views

SPACES = ("content", "appearance", "spatial")
PARTS = [("content", 0), ("appearance", 1), ("spatial", 2)]


@pytest.mark.parametrize(
    "changes, says",
    [
        ({"strength": "stong"}, "unknown strength 'stong' .did you mean 'strong'"),
        ({"family": "simclear"}, "unknown family 'simclear'"),
        ({"groups": "apperance,spatial"}, "unknown group 'apperance'"),
        ({"sizes": "3,3"}, "3 spaces .content, appearance, spatial. but 2 sizes"),
        ({"batch_size": 65}, "batch_size 65 is larger than the 64 training images"),
        ({"temperature": -1}, "temperature = -1; give 0 or more"),
        ({"lr": 0}, "lr = 0; give a number above 0"),
        ({"probe_images": 10}, "probe_images = 10; give 50 or more"),
        ({"npz": "/nowhere.npz"}, "npz '/nowhere.npz' is not there"),
        ({"paired": "maybe"}, "paired = 'maybe'; give True or False"),
        ({"backbone": "vgg16"}, "unknown backbone 'vgg16'"),
        ({"optimizer": ""}, "optimizer = ''; give 'adamw', 'lars' or 'sgd'"),
        ({"epoch": 1}, "unknown parameter 'epoch' .did you mean 'epochs'"),
    ],
)
def test_bad_input_is_one_clear_line(changes, says):
    with pytest.raises(ValueError, match=says) as error:
        sprites_setup(**changes)
    assert "\n" not in str(error.value)


def test_a_small_run_gives_a_whole_table(tmp_path):
    setup = sprites_setup(out_dir=str(tmp_path))
    run = setup.fit(0)
    table = sprites.probe(setup, run)
    factors = ["shape", "color", "scale", "orientation", "x", "y"]
    assert set(table) == {"h", *SPACES, "joined"}
    assert all(set(row) == set(factors) for row in table.values())
    assert sprites.targets(setup) == factors
    study = sprites.study(setup, 0, "again")
    assert study == {space: table[space] for space in SPACES}, "the same seed, the same numbers"
    five = {"shape", "color", "position", "color_in_content", "position_in_content"}
    summary = sprites.summary(study, sprites.homes(setup))
    assert set(summary) == five
    assert summary["color"] == table["appearance"]["color"]
    assert summary["position"] == (table["spatial"]["x"] + table["spatial"]["y"]) / 2


def test_a_varied_experiment_shares_the_data():
    setup = sprites_setup()
    other = {"family": "simclr", "sizes": "8,4,4", "lambdas": "", "temperature": 0}
    cell = sprites.vary(setup, **other, strength="weak", paired=True, epochs=2)
    assert cell.train is setup.train and cell.val is setup.val
    assert cell.training.epochs == 2 and cell.views.paired
    assert cell.views.query.transforms["rotation"].degrees == 5
    assert cell.build(0)[1].family == "simclr" and setup.build(0)[1].family == "entropy"
    with pytest.raises(ValueError, match="unknown parameter 'epoch' .did you mean 'epochs'"):
        sprites.vary(setup, epoch=1)


def test_continuous_factors_have_a_hue():
    setup = sprites_setup(continuous="true")
    assert sprites.targets(setup) == ["shape", "hue", "scale", "orientation", "x", "y"]
    table = {"content": {"shape": 0.9, "hue": 0.1, "x": 0.2, "y": 0.4}}
    table |= {"appearance": {"hue": 0.8}, "spatial": {"x": 0.5, "y": 0.7}}
    summary = sprites.summary(table, sprites.homes(setup))
    assert list(summary.values()) == pytest.approx([0.9, 0.8, 0.6, 0.1, 0.3])


def test_temperature_reaches_the_objective():
    z = torch.randn(4, 32, 11, generator=torch.Generator().manual_seed(0))
    losses = [sprites_setup(temperature=t).build(0)[1](z).loss for t in (0.5, 1.0)]
    assert losses[0] != losses[1]


# ------------------------------------------------------------------------------------------- swap


def test_every_space_is_matched_to_the_sprite_that_gives_it():
    def of(groups):
        return swap.parts(Views(*pipelines(SPRITE_PRESETS["strong"], 32), groups))

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
    return swap.swap_task(20, seed=0, places=40, size=32)


def test_swap_task_asks_for_what_is_there(task):
    assert len(task.key.unique(dim=0)) == len(task.key), "every answer is unique …"
    assert len(task.gallery.pixels.flatten(1).unique(dim=0)) == len(task.key), "… to the eye, too"
    for i, gives in enumerate(([0, 1], [2], [3])):
        same = task.key[task.queries[:, i]] == task.wanted
        content, color, place = same[:, :2].all(1), same[:, 2], same[:, 3]
        assert same[:, gives].all(), "a sprite gives its part …"
        assert (content.int() + color.int() + place.int() == 1).all(), "… and no other"
    assert all((task.key == w).all(1).any() for w in task.wanted)


def known(task):
    """A setup whose spaces hold exactly one factor each: what a sprite gives, as one-hot rows."""
    content = 5 * task.key[:, 0] + task.key[:, 1]
    codes = (content, task.key[:, 2], task.key[:, 3])
    hot = [torch.nn.functional.one_hot(code).float().numpy() for code in codes]
    features = dict(zip(SPACES, hot, strict=True)) | {"h": hot[0]}
    views = Views(*pipelines(SPRITE_PRESETS["strong"], 32), SPACES[1:])
    return SimpleNamespace(embed=lambda run, split: features, views=views)


def test_swap_finds_all_with_the_true_factors_and_little_with_wrong_ones(task):
    """With spaces that hold exactly one factor each, every triple is answered.

    With the wrong parts almost none is.
    """
    wrong_parts = [("appearance", 0), ("content", 1), ("content", 2)]
    (score, found), (wrong, _) = swap.swap(known(task), None, task, PARTS, wrong_parts)
    names = ("shape", "orientation", "color", "place", "all")
    assert score == dict.fromkeys(names, 1.0)
    assert torch.equal(task.key[found], task.wanted)
    assert wrong["all"] < 0.3


def test_one_embedding_is_matched_to_all_three_sprites(task):
    """Here h holds the content alone, so it does not say which colour and place are wanted."""
    results = swap.compared(known(task), None, None, task)
    scores = {name: score["all"] for name, (score, _) in results.items()}
    assert scores["spaces"] == 1.0 and scores["h"] == scores["plain SSL"] < 0.3
    columns, right = swap.shown(task, results, n=4)
    assert list(columns) == ["content of", "colour of", "place of", "spaces", "h", "plain SSL"]
    assert all(len(column) == 4 for column in columns.values())
    assert right["spaces"] == [True] * 4 and not all(right["h"])


def test_too_few_places():
    with pytest.raises(ValueError, match="give more places"):
        swap.swap_task(500, seed=0, places=2, size=16)


def test_what_a_view_tells_is_read_from_one_view_of_each_sprite(tmp_path):
    setup = sprites_setup(out_dir=str(tmp_path))
    run = setup.fit(0)
    found = seen.seen(setup, run)
    assert list(found) == ["h of a view", "content of a view"]
    assert all(set(row) == set(sprites.targets(setup)) for row in found.values())
    views = [seen.one_view(setup, run, setup.val_probe, part)["h"] for part in (0, 0, 1)]
    plain = setup.embed(run, setup.val_probe)["h"]
    assert views[0].shape == plain.shape
    assert (views[0] == views[1]).all() and (views[0] != views[2]).any()
    assert np.abs(views[0] - plain).mean() > 0.1 * plain.std()
