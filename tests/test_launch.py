"""The command `python -m msr.train run.json`: any experiment on images, errors in one line."""

import contextlib
import json
import os
import subprocess
import sys
import types

import pytest
import small
import torch
from small import IMAGENET, SPRITES, TRANSFER, sprites_setup

from msr import dist, load
from msr.experiments import (
    imagenet,
    latent_runs,
    launch,
    limits,
    numerical,
    processes,
    sprites,
    transfer,
)
from msr.experiments.plan import Plan
from msr.spaces import Spaces
from msr.train import NonFiniteLoss, Stopped


def written(tmp_path, content):
    """The path of a run.json that holds this."""
    path = tmp_path / "run.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def test_the_command_trains_what_the_notebook_trains(tmp_path, capsys):
    values = SPRITES | {"out_dir": str(tmp_path / "out")}
    run = written(tmp_path, values | {"experiment": "sprites"})
    process = subprocess.run(
        [sys.executable, "-m", "msr.train", run],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert process.returncode == 0, process.stdout + process.stderr
    folders = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert folders == ["spaces_seed0", "vanilla_seed0"]
    assert all((tmp_path / "out" / name / "model.safetensors").exists() for name in folders)
    setup = sprites_setup(out_dir=values["out_dir"])
    for vanilla in (False, True):
        assert setup.fit(0, vanilla).log
        assert "complete in" in capsys.readouterr().out


def test_only_a_part_and_every_seed(tmp_path):
    out = tmp_path / "out"
    values = SPRITES | {"out_dir": str(out), "seeds": 2, "seed": 5}
    launch.run(values | {"experiment": "sprites", "only": "vanilla"})
    assert {path.name for path in out.iterdir()} == {"vanilla_seed5", "vanilla_seed6"}


def test_without_a_name_it_is_the_experiment_on_images(tmp_path, monkeypatch):
    small.few_shapes(monkeypatch)
    out = tmp_path / "out"
    launch.run(IMAGENET | {"out_dir": str(out), "vanilla": False})
    assert {path.name for path in out.iterdir()} == {"spaces_seed0"}


def test_the_headline_encoders_of_the_numerical_notebook(tmp_path, capsys):
    tiny = {"steps": 3, "samples": 16, "seeds": 1, "width": 8, "depth": 1, "probe_samples": 50}
    launch.run({"experiment": "numerical", "out_dir": str(tmp_path)} | tiny)
    folders = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.glob("*/*"))
    assert folders == ["causal/seed20", "independent/seed20", "statistical/seed20"]
    base, _, _ = numerical.prepare(numerical.Parameters(**tiny))
    assert latent_runs.run(base, 20, tmp_path / "independent" / "seed20").log
    assert "complete in" in capsys.readouterr().out


def test_one_seed_of_the_numerical_encoders(tmp_path):
    tiny = {"steps": 1, "samples": 8, "seeds": 2, "width": 8, "depth": 1, "probe_samples": 50}
    launch.run({"experiment": "numerical", "out_dir": str(tmp_path), "only_seed": 21} | tiny)
    assert {path.name for path in tmp_path.glob("*/*")} == {"seed21"}


GPUS = "this machine has 8 GPUs; give device cuda and no more devices than GPUs, or device cpu"


@pytest.mark.parametrize("world, here, says", [(16, 8, ""), (16, 16, GPUS), (18, 9, GPUS)])
def test_gpus_are_counted_machine_by_machine(monkeypatch, world, here, says):
    """Two machines of eight GPUs each train sixteen ranks; on one machine these are too many."""
    config = sprites.Parameters(**SPRITES).change(devices=world, batch_size=world)
    views = types.SimpleNamespace(groups=(), paired=False)
    spaces = Spaces.of((), (4,))
    plan = Plan(config, views, spaces, config.training(), torch.device("cuda"))
    monkeypatch.setattr(dist, "world_size", lambda: world)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(here))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    # these would ask for a real GPU
    monkeypatch.setattr(Plan, "build", lambda self, seed: None)
    monkeypatch.setattr(limits, "network", lambda *_: None)
    with pytest.raises(ValueError, match=says) if says else contextlib.nullcontext():
        plan.check()


@pytest.mark.parametrize(
    "content, says",
    [
        (
            {"experiment": "numerical", "only": "spaces"},
            "only 'spaces' with experiment numerical, which has no such parts; leave it out",
        ),
        ({"only_seed": "1"}, "only_seed = '1'; give a whole number, one of the seeds"),
        (
            {"experiment": "sprite"},
            "unknown experiment 'sprite' (did you mean 'sprites'?); choose imagenet, numerical",
        ),
        ({"experiment": "numerical", "step": 1}, "unknown parameter 'step' (did you mean 'steps'"),
        (
            {"only": "space"},
            "unknown only 'space' (did you mean 'spaces'?); choose spaces, vanilla",
        ),
        ({"experiment": "sprites", "epoch": 1}, "unknown parameter 'epoch' (did you mean 'epochs'"),
        ({"experiment": "sprites", "vanilla": False}, "unknown parameter 'vanilla'"),
        ("{", "run.json cannot be read as JSON: "),
        ("[1]", "run.json holds no parameters by name"),
    ],
)
def test_what_is_wrong_is_one_line_with_status_2(tmp_path, monkeypatch, capsys, content, says):
    monkeypatch.setattr(sys, "argv", ["msr.train", written(tmp_path, content)])
    with pytest.raises(SystemExit) as end:
        launch.main()
    out = capsys.readouterr().out
    assert end.value.code == 2 and len(out.splitlines()) == 1
    assert out.startswith("msr: ValueError: ") and says in out


def test_one_file_is_given(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["msr.train"])
    with pytest.raises(SystemExit):
        launch.main()
    assert "give one file: python -m msr.train run.json" in capsys.readouterr().out
    with pytest.raises(ValueError, match="nowhere.json does not exist"):
        launch.read([str(tmp_path / "nowhere.json")])


# -------------------------------------------------------------------------- the processes of a run


@pytest.mark.parametrize(
    "config",
    [
        imagenet.Parameters(**IMAGENET, loss_settings={"temperature": 0.3}),
        sprites.Parameters(**SPRITES),
        transfer.Parameters(**TRANSFER, tasks="content:one, two"),
    ],
    ids=lambda config: config.NAME,
)
def test_workers_read_what_was_asked(tmp_path, config):
    folder = tmp_path / "out" / "vanilla_seed4"
    worker = processes.Worker(config, 4, "vanilla", folder, "vanilla, seed 4", 10)
    values = launch.read([str(worker.write())])
    assert values.pop("experiment") == config.NAME and values.pop("only") == "vanilla"
    assert values.pop("only_seed") == 4 and type(config)(**values) == config


def test_one_seed_trains_on_the_data_of_the_notebook(tmp_path):
    """The first seed decides which sprites are drawn, so a worker of another seed keeps it."""
    values = SPRITES | {"seeds": 2, "seed": 5, "experiment": "sprites", "only": "spaces"}
    launch.run(values | {"out_dir": str(tmp_path / "one"), "only_seed": 6})
    launch.run(values | {"out_dir": str(tmp_path / "all")})
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["spaces_seed6"]
    one, both = (load(tmp_path / name / "spaces_seed6").model for name in ("one", "all"))
    assert all(map(torch.equal, one.state_dict().values(), both.state_dict().values()))


@pytest.mark.parametrize(
    "line, kind, message",
    [
        ("msr: ValueError: unknown family: 'x'", ValueError, "unknown family: 'x'"),
        ("msr: NonFiniteLoss: the loss became nan", NonFiniteLoss, "the loss became nan"),
        ("msr: Stopped: SIGTERM", Stopped, "SIGTERM"),
        ("Traceback: Killed", RuntimeError, "failed with status 137; what they printed is in "),
    ],
)
def test_what_ended_the_processes(tmp_path, line, kind, message):
    said = ["spaces, seed 0: epoch 1/3", line, "torchrun: a child failed"]
    error = processes.failure(said, 137, tmp_path / "spaces_seed0.txt")
    assert type(error) is kind and message in str(error)
