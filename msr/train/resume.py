"""What to do with an earlier run in the folder: resume it, load it, refuse it or rename it."""

from __future__ import annotations

import json
from pathlib import Path

from msr import dist, safe
from msr.train import checkpoint, diverged
from msr.train.settings import Training

# settings that do not decide a run: when to save and to log, and what may have to change with the
# device (the log says in how many pieces its steps were computed; compiling only rounds otherwise)
UNDECIDING = ("save_every", "log_every", "micro_batch", "compile")
# the difference of a run of version 0.2, which saw the centre squares of its files; a complete one
# is loaded all the same
WHOLE = "whole = None, now True"
# settings of adaptive λ
DUAL = ("epsilon", "dual_rate", "dual_warmup_epochs")


def find(folder: Path | None, config: dict, total: int, name: str, fresh: bool) -> dict | None:
    """Return the checkpoint in `folder` to resume from, or None to begin at step 0.

    A run with the same configuration `config` is resumed, or loaded if all its `total` steps are
    done; if its loss became nan, what `diverged.CURES` names may differ. A folder is renamed to
    `<folder>.old` if it holds a complete run with another configuration, a run without any
    checkpoint or, when `fresh` is true, any run. Rank 0 decides, renames and prints; the other
    ranks then read the same checkpoint. name: of the run, in messages.

    Raises ValueError, one line, for an unfinished run with another configuration, for a folder
    whose checkpoints are all unreadable, and if the ranks do not share the folder.
    """
    saved, error = None, ""
    if folder and dist.rank() == 0:
        saved, error = _decide(folder, config, total, name, fresh)
    error, step = dist.everyone((error, saved and saved["step"]))[0]
    if error:
        raise ValueError(error)
    if folder and step and dist.rank():
        saved = checkpoint.latest(folder)
    if any(found != step for found in dist.everyone(saved and saved["step"])):
        raise ValueError(
            f"not every machine sees the checkpoint of step {step} in {folder}; "
            "put out_dir on a disk that all of them share"
        )
    return saved


def _decide(
    folder: Path, config: dict, total: int, name: str, fresh: bool
) -> tuple[dict | None, str]:
    """Return (the checkpoint or None, an error message or ""); rename the folder if needed.

    The message is returned, not raised, so that all ranks can raise the error together.
    """
    saved = None if fresh else checkpoint.latest(folder)
    try:
        old = json.loads(saved["config"]) if saved else {}
        changed = changes(old, config) if saved else []
        unfinished = saved and saved["step"] < old["steps"]
        if saved and not unfinished:
            changed = _deciding(folder, changed)
    except Exception as error:  # a record that msr did not write
        return None, f"the configuration of the run in {folder} cannot be read: {safe.line(error)}"
    cures: list[str] = []
    if saved and unfinished:
        refused = diverged.incurable(folder, saved["step"], changed)
        cures, changed = [line for line in changed if line not in refused], refused
    named = "; ".join(changed[:4])
    if unfinished and changed:
        more = " …" if changed[4:] else ""
        return None, (
            f"{folder} holds an unfinished run with other settings ({named}{more}); "
            "give those to resume it, or another out_dir, or fresh = True to begin again"
        )
    if saved is None or changed:
        if (folder / "config.json").exists():
            reason = "an earlier run" if fresh else "a run without a checkpoint"
            held = f"a complete run with {named}" if changed else reason
            aside = checkpoint.set_aside(folder).name
            print(f"{name}: {folder} held {held}: set aside as {aside}", flush=True)
        return None, ""
    if saved["step"] == total:
        print(f"{name}: complete in {folder}, not trained again (fresh = True would)", flush=True)
    else:
        checkpoint.clean(folder)
        why = f"; the loss became nan or inf by step {diverged.step_of(folder)}" if cures else ""
        now = f", with {'; '.join(cures)}{why}" if cures else ""
        print(f"{name}: resuming from step {saved['step']} of {total} in {folder}{now}", flush=True)
    return saved, ""


def with_history(config: dict, saved: dict) -> dict:
    """Return the record `config` with the history of the run that it resumes, if that has one.

    Each change of settings on the way adds {"step": resumed from, "changed": ["lr = 0.1, now
    0.01"]}. saved: the checkpoint.
    """
    old = json.loads(saved["config"])
    changed = changes(old, config)
    history = old.get("history", [])
    history = history + ([{"step": saved["step"], "changed": changed}] if changed else [])
    return config | ({"history": history} if history else {})


def _deciding(folder: Path, changed: list[str]) -> list[str]:
    """Return those changes of a complete run for which it would be trained again.

    It is not if they only get a run beside it past a loss that became nan, such as another seed's.
    """
    changed = [line for line in changed if line != WHOLE]
    beside = any(diverged.step_of(other) for other in folder.parent.iterdir() if other.is_dir())
    cured = [line for line in changed if line.partition(" = ")[0] in diverged.CURES]
    return [] if beside and len(cured) == len(changed) else changed


def changes(old: dict, new: dict) -> list[str]:
    """Return one line for each difference that decides the run, such as "epochs = 10, now 20".

    old, new: two contents of config.json. A training setting that `old` lacks, because it was added
    to the library later, counts as its default; a network that `old` does not name is taken for the
    same. What `UNDECIDING` names is left out, and so is the `history` of changes. Images are
    compared as in `data_changes`.
    """
    old = {name: value for name, value in old.items() if name != "history"}
    new = {name: value for name, value in new.items() if name != "network" or name in old}
    defaults = {name: field.default for name, field in Training.model_fields.items()}
    experiment = old.get("experiment", {})
    if "compile" not in old["training"] and "groups" in experiment:  # of 0.1, and on images
        old = old | {"experiment": _modern(experiment)}
    if "groups" in experiment:
        old = old | {"experiment": _one_pair(old["experiment"])}
    old = old | {"training": defaults | old["training"]}
    if not (old["training"]["adaptive"] or new["training"]["adaptive"]):  # then λ is constant
        old, new = (
            record | {"training": {k: v for k, v in record["training"].items() if k not in DUAL}}
            for record in (old, new)
        )
    data, old, new = data_changes(old, new)
    lines = data + checkpoint.differences(old, new)
    return [line for line in lines if not line.startswith(UNDECIDING)]


def data_changes(old: dict, new: dict) -> tuple[list[str], dict, dict]:
    """Return one line if the training images differ, and both records without what it compares.

    The images are those that their listing says, wherever they lie: two records that have one are
    compared by it, not by data_dir and val_dir. Older records have none and are compared by these.
    """
    before, now = (dict(record.get("experiment", {})) for record in (old, new))
    listings, lines = [record.pop("listing", None) for record in (before, now)], []
    if all(listings):
        for record in (before, now):
            record.pop("data_dir", None), record.pop("val_dir", None)
        if listings[0] != listings[1]:
            n, m = before.pop("images", 0), now.pop("images", 0)
            counts = f"{n:,} before, {m:,} now" if n != m else f"{n:,}, with other names or sizes"
            lines = [f"the training images differ: {counts}"]
    return lines, old | {"experiment": before}, new | {"experiment": now}


def _modern(experiment: dict) -> dict:
    """Return the experiment's part of a record that version 0.1 wrote, in today's form.

    Version 0.1 wrote lists as text such as "8,4,4", and repeated settings of training. Its default
    temperature, 1, is left out, as today's default is.
    """
    gone = Training.model_fields.keys() | {"dim", "stem", "warmup", "options", "temperature"}
    texts = {name: value for name, value in experiment.items() if name not in gone}
    lists = ("groups", "sizes", "lambdas", "hidden")
    found = {name: _listed(v) if name in lists else v for name, v in texts.items()}
    if not found.get("init"):
        found.pop("init", None)
    temperature = experiment.get("options", {}).get("temperature", 1.0)
    return found | ({"temperature": temperature} if temperature != 1 else {})


def _one_pair(experiment: dict) -> dict:
    """Return the experiment's part of an image record with what versions up to 0.2 did unasked.

    They aligned content over the query and key 0, and took the entropy of these two views.
    """
    if "content_pairs" in experiment:
        return experiment
    found = {"content_pairs": "query", "joint": True, "content_spread": 0.0} | experiment
    if found.get("family") == "entropy":
        found["loss_settings"] = {"views": 2} | found.get("loss_settings", {})
    return found


def _listed(value: str | list) -> list:
    """Return "8,4,4" as [8, 4, 4] and "appearance,spatial" as a list of words."""
    words = [word.strip() for word in value.split(",")] if isinstance(value, str) else value
    return [float(w) if str(w).replace(".", "", 1).isdecimal() else w for w in words if w != ""]
