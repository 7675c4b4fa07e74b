"""The records of the notebooks' parameters: read from a notebook, written as its cell, checked."""

import pytest

from msr.experiments import imagenet, numerical, sprites, transfer
from msr.experiments.parameters import cell
from msr.objective import Objective
from msr.spaces import Spaces
from msr.train import Training

KINDS = [module.Parameters for module in (imagenet, sprites, transfer, numerical)]
of_each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.NAME)
WRONG = r"^unknown parameter 'epoch' \(did you mean 'epochs'\?\)"


def ran(*cells):
    """The `globals()` of a notebook that ran these cells, as IPython keeps them in `In`."""
    namespace = {"In": ["", *cells]}
    for source in cells:
        exec(source, namespace)
    return namespace


# -------------------------------------------------------------------------------------------- read


def test_values_come_from_the_notebook_and_others_from_the_record():
    namespace = {"epochs": 3, "groups": ["color"], "setup": object(), "torch": None}
    assert imagenet.Parameters.read(namespace) == imagenet.Parameters(epochs=3, groups=["color"])
    assert imagenet.Parameters.read({}) == imagenet.Parameters()


@pytest.mark.parametrize("own", ["", "\nepoch = 3"], ids=["injected", "in the cell"])
def test_a_name_that_is_unknown_raises(own):
    """papermill's own cell holds what `-p` gave; it may hold nothing that the record knows."""
    cells = [cell(imagenet.Parameters) + own]
    if not own:
        cells.append("# Parameters\nepoch = 3\n")
    with pytest.raises(ValueError, match=WRONG) as error:
        imagenet.Parameters.read(ran(*cells, "config = None"))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "source",
    [
        "n = 3\nnames = ['a', 'b']",
        "import math\nepochs = 3\nn = 2",
        "epochs = 3\nprint(n := 2)",
        "epochs, n = 3, 2",
        "n = epochs = 3",
        "n = len('abc')\nepochs = 3",
        "epochs: int = 3",
        "",
    ],
)
def test_cells_that_are_not_of_parameters_are_ignored(source):
    namespace = ran(cell(imagenet.Parameters), "# Parameters\nepochs = 3\n", source)
    assert imagenet.Parameters.read(namespace) == imagenet.Parameters(epochs=3)


def test_a_cell_that_python_alone_cannot_read_is_ignored():
    namespace = {"In": ["", "%matplotlib inline", "epochs = 3"], "epochs": 3}
    assert imagenet.Parameters.read(namespace).epochs == 3


def test_what_papermill_injects_comes_last():
    values = '# Parameters\nepochs = 3\nsizes = "8, 4, 4"\nprofile = "smoke"\n'
    found = imagenet.Parameters.read(ran(cell(imagenet.Parameters), values))
    assert (found.epochs, found.sizes, found.profile) == (3, (8, 4, 4), "smoke")


# ---------------------------------------------------------------------------------------- the cell


@of_each_kind
def test_a_cell_holds_the_defaults(kind):
    text = cell(kind)
    assert kind.read(ran(text)) == kind()
    assert text.count("\n# Seldom changed.") == 1
    head, rest = text.split("\n# Seldom changed.")
    assert [line.split(" = ")[0] for line in head.splitlines()] == list(kind.FIRST)
    assert len(rest.splitlines()) == len(kind.model_fields) - len(kind.FIRST) + 1


@of_each_kind
def test_a_cell_may_have_defaults_of_its_own(kind):
    changed = {"out_dir": 'runs/ä "quoted"', "seeds": 7, "fresh": True}
    text = cell(kind, **changed)
    assert "ä" in text and kind.read(ran(text)) == kind(**changed)


def test_a_cell_may_have_lists_of_its_own():
    changed = {"sizes": (6, 3, 3), "groups": ["color", "crop"], "lambdas": (0.5,)}
    changed["loss_settings"] = {"beta": 0.01}
    text = cell(imagenet.Parameters, **changed)
    assert '\ngroups = ["color", "crop"]  #' in text
    assert imagenet.Parameters.read(ran(text)) == imagenet.Parameters(**changed)


@of_each_kind
def test_every_field_is_described_in_a_line_that_fits(kind):
    assert all(field.description for field in kind.model_fields.values())
    long = [line for line in cell(kind).splitlines() if len(line) > 88]
    assert not long, long


@of_each_kind
def test_what_people_change_comes_first(kind):
    assert len(set(kind.FIRST)) == len(kind.FIRST) == 8
    assert set(kind.FIRST) <= set(kind.model_fields)
    assert kind.ordered()[:8] == list(kind.FIRST)
    assert sorted(kind.ordered()) == sorted(kind.model_fields)


# --------------------------------------------------------------------------------------- the values


@pytest.mark.parametrize(
    "name, given, found",
    [
        ("sizes", "8,4,4", (8, 4, 4)),
        ("sizes", " 8, 4 ,4 ", (8, 4, 4)),
        ("sizes", [8, 4, 4], (8, 4, 4)),
        ("sizes", (8, 4, 4), (8, 4, 4)),
        ("sizes", 8, (8,)),
        ("sizes", "8", (8,)),
        ("sizes", "", ()),
        ("sizes", [], ()),
        ("hidden", 512, (512,)),
        ("hidden", "512, 256", (512, 256)),
        ("lambdas", "1,0.5,2", (1.0, 0.5, 2.0)),
        ("lambdas", [1, 0.5, 2], (1.0, 0.5, 2.0)),
        ("lambdas", 2, (2.0,)),
        ("lambdas", 0.5, (0.5,)),
        ("lambdas", "", ()),
        ("groups", "color, crop", ("color", "crop")),
        ("groups", ["color", "crop"], ("color", "crop")),
        ("groups", "color", ("color",)),
        ("groups", "", ()),
    ],
)
def test_a_list_may_be_text_or_one_number(name, given, found):
    assert getattr(imagenet.Parameters(**{name: given}), name) == found


def test_lists_of_the_other_experiments():
    assert sprites.Parameters(sizes="4,3,5").sizes == sprites.Parameters().sizes == (4, 3, 5)
    assert numerical.Parameters(styles="1,2", block_styles=3).styles == (1, 2)
    assert numerical.Parameters(block_styles=3).block_styles == (3,)
    wanted = ("content:one", "two")
    assert transfer.Parameters(tasks="content:one, two").tasks == wanted
    assert transfer.Parameters(tasks=list(wanted)).tasks == wanted


@pytest.mark.parametrize(
    "given, found",
    [
        ("", {}),
        ("beta=0.01", {"beta": 0.01}),
        (" variance = 10, covariance=2 ", {"variance": 10, "covariance": 2}),
        ("denominator=ntxent", {"denominator": "ntxent"}),
        ({"beta": 0.01}, {"beta": 0.01}),
    ],
)
def test_settings_of_the_loss_may_be_text(given, found):
    assert imagenet.Parameters(loss_settings=given).loss_settings == found


def test_settings_of_the_loss_reach_the_family():
    config = imagenet.Parameters(loss_settings="denominator=ntxent", temperature=0.2)
    assert config.settings_of_loss == {"denominator": "ntxent", "temperature": 0.2}
    objective = Objective("simclr", Spaces.of((), (8,)), **config.settings_of_loss)
    assert objective.record.spread.keywords == {"denominator": "ntxent", "temperature": 0.2}
    with pytest.raises(ValueError, match="loss_settings: 'beta' is not a list of settings; give"):
        imagenet.Parameters(loss_settings="beta")


def test_which_parameters_a_runs_record_leaves_out():
    """Training has a record of its own, and some values are recorded only where they are given."""
    common = {"seeds", "seed", "device", "fresh", "out_dir", "profile", "devices"}
    given = {"temperature", "loss_settings", "init"}
    files = {"max_bad", "num_workers"}
    others = {
        imagenet.Parameters: files | {"vanilla", "probe_images", "linear_probe"},
        sprites.Parameters: {"probe_images", "study_epochs", "kept_studies"},
        transfer.Parameters: files | {"tasks", "task_images", "shots", "n_l2", "trained"},
    }
    for kind, own in others.items():
        training = Training.model_fields.keys() & kind.model_fields.keys()
        left_out = set(kind.model_fields) - set(kind().deciding)
        assert left_out == common | own | given | training, kind.NAME
        assert kind(temperature=0.5, init="a").deciding.keys() >= {"temperature", "init"}


def test_a_record_does_not_change_but_gives_a_changed_copy():
    config = imagenet.Parameters()
    assert config.change(sizes="8,4,4").sizes == (8, 4, 4) and config.sizes == ()
    with pytest.raises(ValueError, match=WRONG):
        config.change(epoch=3)
    with pytest.raises(ValueError, match="frozen"):
        config.epochs = 3


def test_a_corrected_cell_replaces_the_wrong_one():
    """As in a live notebook, whose `In` keeps what was run before the correction."""
    namespace = {
        "In": ["", "epochs = 3\nsedes = 1", "epochs = 3\nseeds = 1"],
        "epochs": 3,
        "seeds": 1,
    }
    config = imagenet.Parameters.read(namespace)
    assert (config.epochs, config.seeds) == (3, 1)


def test_a_long_path_shortens_its_comment():
    line = cell(imagenet.Parameters, data_dir="/a" * 40).splitlines()[0]
    assert len(line) == 100 and line.startswith('data_dir = "/a/a') and line.endswith("…")
