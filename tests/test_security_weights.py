"""Files of weights from strangers: no code runs, and memory is that of the file.

SECURITY.md names these tests.
"""

import json
import pickle
import struct
import zipfile
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hostile import Evil, one_line

import msr
from msr import models, weights
from msr.train import checkpoint

ROOT = Path(__file__).resolve().parent.parent
FIXTURE = Path(__file__).parent / "fixtures" / "run_0.1"  # a run's folder, written by version 0.1
DEEP = "[" * 50_000 + "]" * 50_000


# ------------------------------------------------------------------------------------- weights


def pickled(path, value):
    """A bare pickle."""
    path.write_bytes(pickle.dumps(value))


def zipped(path, value):
    """The form of torch.save today."""
    torch.save({"a": value}, path)


def legacy(path, value):
    """The form of torch.save before 1.6."""
    torch.save({"a": value}, path, _use_new_zipfile_serialization=False)


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch's, of a bare pickle
@pytest.mark.parametrize("form", [pickled, zipped, legacy])
@pytest.mark.parametrize("call", [weights.stem_of, msr.load, "checkpoint"])
def test_a_pickle_with_code_does_not_run(tmp_path, form, call):
    path = tmp_path / ("checkpoint-00000001.pt" if call == "checkpoint" else "a.pth")
    form(path, Evil(tmp_path / "ran"))
    if call == "checkpoint":
        one_line(lambda: checkpoint.latest(tmp_path), "no checkpoint in .* can be read")
    else:
        one_line(lambda: call(str(path)), "holds no weights that can be read safely")
    assert not (tmp_path / "ran").exists()


def compressed(path):
    """A file of torch whose parts are compressed: 128 MiB of zeros in 128 KiB."""
    torch.save({"a": torch.zeros(2**10)}, path.with_suffix(".small"))
    with zipfile.ZipFile(path.with_suffix(".small")) as old:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
            for name in old.namelist():
                with new.open(name, "w") as part:
                    data = old.read(name)
                    for _ in range(2**15 if name.endswith("data/0") else 1):
                        part.write(data)


def stretched(path):
    """One number that stands for 10¹² numbers."""
    torch.save({"a": torch.zeros(1).expand(10**6, 10**6)}, path)


def sparse(path):
    """A tensor that would take 4 TB if it were dense."""
    torch.save({"a": torch.zeros(1, 1).to_sparse().sparse_resize_((10**6, 10**6), 2, 0)}, path)


def laughing(path):
    """Lists of lists that stand for 2⁴⁰ values."""
    value = [0]
    for _ in range(40):
        value = [value, value]
    torch.save({"a": value}, path)


def lying(path):
    """A safetensors file whose header claims to be 2⁶³ bytes long."""
    path.write_bytes(struct.pack("<Q", 2**63) + b"{}")


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch's, of a sparse tensor
@pytest.mark.parametrize(
    "make, suffix",
    [
        *((make, ".pth") for make in (compressed, stretched, sparse, laughing)),
        (lying, ".safetensors"),
    ],
)
def test_weights_that_claim_more_than_they_hold(tmp_path, make, suffix):
    make(tmp_path / f"a{suffix}")
    message = "holds no weights that can be read safely"
    one_line(lambda: weights.stem_of(str(tmp_path / f"a{suffix}")), message)


def test_names_and_shapes_of_any_kind(tmp_path):
    """They are no weights of the network, and the message says so."""
    state = {1: torch.zeros(3), "conv1.weight": torch.zeros(3), "x\ny" * 10**5: torch.zeros(1)}
    torch.save(state, tmp_path / "a.pth")
    path = str(tmp_path / "a.pth")
    assert weights.stem_of(path) == "auto"
    model = models.build("cnn", 16, {"content": 4}, (8,), 4)
    one_line(lambda: weights.begin_from(model, path), "holds no weight '0.weight' of the backbone")


# ------------------------------------------------------- the configuration in a file of weights


def with_config(path, config):
    """A run's model.safetensors with this configuration, text or plain data; returns its path."""
    text = config if isinstance(config, str) else json.dumps(config)
    state = safetensors.torch.load_file(FIXTURE / "model.safetensors")
    safetensors.torch.save_file(state, path, {"config": text})
    return str(path)


@pytest.mark.parametrize(
    "changes, says",
    [
        ({"evil": 1}, "cannot be built .*unexpected keyword argument 'evil'"),
        ({"hidden": [10**9]}, r"does not hold the network that it describes: projector.0.0.weight"),
        ({"hidden": [10**30]}, "cannot be built"),
        ({"hidden": [1] * 10**5}, "cannot be built .*more layers than the file has weights"),
        ({"hidden": "wide"}, "cannot be built"),
        ({"hidden": 5}, "cannot be built"),
        ({"width": 10**7}, "does not hold the network that it describes: backbone"),
        ({"width": -1}, "cannot be built"),
        ({"backbone": "mlp", "image_size": 10**6, "width": 10**6}, "cannot be built"),
        ({"backbone": "mlp", "image_size": 10**4}, "does not hold the network"),
        ({"backbone": "resnet50"}, "does not hold the network"),
        ({"backbone": "no"}, "unknown backbone 'no'"),
        ({"backbone": ["cnn"]}, "unknown backbone"),
        ({"spaces": {"content": 10**9}}, "does not hold the network"),
        ({"spaces": []}, "cannot be built"),
        ({"spaces": {"content": "x"}}, "cannot be built"),
    ],
)
def test_a_network_that_is_not_the_files(tmp_path, changes, says):
    """It is compared with the weights before any memory is taken for it."""
    config = json.loads((FIXTURE / "config.json").read_text())
    path = with_config(
        tmp_path / "a.safetensors", config | {"network": config["network"] | changes}
    )
    one_line(lambda: msr.load(path), says)


@pytest.mark.parametrize(
    "text, says",
    [
        (DEEP, "nested too deeply"),
        ('{"network": ' * 20_000 + "1" + "}" * 20_000, "nested too deeply"),
        (" " * 2**21, "more than 1,048,576 bytes"),
        ("{", "cannot be read as JSON"),
        ("[1]", "holds no parameters by name"),
        ('{"network": 3}', "does not say which network it holds"),
        ('{"network": {}, "network": {}}', "'network' is given twice"),
    ],
)
def test_a_configuration_of_any_form(tmp_path, text, says):
    path = with_config(tmp_path / "a.safetensors", text)
    one_line(lambda: msr.load(path), says)
