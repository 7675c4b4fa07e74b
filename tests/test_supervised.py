"""The bound by labels: what is trained is what the probes ask, on as many views."""

import pytest
import small
import torch

from msr.experiments import supervised
from msr.experiments.supervised import Batch, Heads, Tasks


@pytest.fixture(autouse=True)
def few_shapes(monkeypatch):
    small.few_shapes(monkeypatch)


@pytest.fixture
def setup():
    return small.imagenet_setup(width=4, hidden="8")


def test_each_task_weighs_about_one_at_first(setup):
    tasks = Tasks(setup)
    heads, batch = tasks.heads(6), next(tasks.batches(setup.training))
    assert batch.views.shape == (2, 16, 3, 16, 16)
    assert set(batch.labels) == {"shape", "texture", "color"} and tasks.content == {
        "shape",
        "texture",
    }
    loss = heads(torch.zeros(2, 16, 6), batch)
    assert loss.item() == pytest.approx(1, abs=0.25)


def test_all_targets_of_the_probes_are_trained(setup):
    tasks = Tasks(setup)
    drawn = tasks.draw(torch.Generator().manual_seed(1), torch.arange(64))[1]
    assert drawn.shape == (64, len(setup.views.targets()) + 1), "a hue is a sine and a cosine"
    z = (drawn - tasks.mean) / tasks.spread
    assert z.std(dim=0).sub(1).abs().max() < 0.5
    assert set(tasks.heads(6).linear) == {"shape", "texture", "color", *setup.train.factors}


def test_labels_are_those_of_the_pixels(setup):
    images = setup.train
    grey = torch.arange(len(images), dtype=torch.uint8)
    images.pixels[:] = grey[:, None, None, None]
    images.labels["shape"] = grey.long()
    for batch in Tasks(setup).batches(setup.training):
        shades = torch.arange(len(images)) / 255
        mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        expected = (shades[batch.labels["shape"]][:, None] - mean) / std
        torch.testing.assert_close(batch.views[0].mean((2, 3)), expected, atol=1e-4, rtol=0)


def test_only_labels_of_content_are_read_from_views_that_were_augmented():
    heads = Heads(3, {"shape": 2, "color": 2}, {}, 1, frozenset({"shape"}))
    torch.nn.init.zeros_(heads.pair[2].weight)
    label = torch.zeros(4, dtype=torch.long)
    batch = Batch(torch.empty(2, 4, 3, 8, 8), {"color": label}, {}, torch.zeros(4, 1))
    h = torch.randn(2, 4, 3)
    other = torch.stack([h[0], torch.randn(4, 3)])
    assert heads(h, batch) == heads(other, batch)
    batch = batch._replace(labels={"shape": label})
    assert heads(h, batch) != heads(other, batch)


def test_training_on_labels_teaches_them(setup, monkeypatch):
    losses, forward = [], Heads.forward

    def noted(self, h, batch):
        losses.append(forward(self, h, batch))
        return losses[-1]

    monkeypatch.setattr(Heads, "forward", noted)
    longer = setup.vary(small.imagenet.plan, epochs=12, width=8, lr=4e-3)
    run = supervised.fit(longer, 0)
    assert not run.model.training and run.folder is None
    assert len(losses) == 24 * 4, "as many views as with four views per image"
    first, last = (torch.stack(some).mean().item() for some in (losses[:4], losses[-4:]))
    assert last < 0.75 * first
