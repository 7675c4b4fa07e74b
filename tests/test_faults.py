"""A machine that fails to read a file says so: the file is not counted as broken."""

import errno
import os
import shutil

import pytest
from pictures import noise

from msr import data
from msr.data import Batches, faults, files, images


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Twenty images in two classes that stay files; no pauses between tries."""
    monkeypatch.setattr(images, "IN_MEMORY", 0)
    monkeypatch.setattr(faults, "PAUSES", (0, 0))
    for i in range(20):
        path = tmp_path / "d" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise(i).save(path)
    return tmp_path / "d"


def failing(monkeypatch, number, times):
    """Let the first `times` calls of `decode` end in an error of the operating system."""
    decode, calls = files.decode, []

    def fails(source, size):
        calls.append(source)
        if len(calls) <= times:
            raise OSError(number, os.strerror(number))
        return decode(source, size)

    monkeypatch.setattr(files, "decode", fails)


@pytest.mark.parametrize(
    "name, workers", [("EMFILE", 0), ("ENFILE", 0), ("ENOMEM", 0), ("EIO", 0), ("ESTALE", 1)]
)
def test_an_error_of_the_machine_ends_the_run_in_one_line(folder, monkeypatch, name, workers):
    train, _ = data.load(folder, 16)
    number = getattr(errno, name)
    failing(monkeypatch, number, 10**6)
    says = (
        rf"png' cannot be read, and that is not the file's fault: {os.strerror(number)}; .*resumes"
    )
    with pytest.raises(ValueError, match=says) as error:
        list(Batches(train, 9, num_workers=workers).epoch(0))
    assert "\n" not in str(error.value) and not train.inspection.skipped


def test_an_error_that_passes_costs_nothing(folder, monkeypatch):
    train, _ = data.load(folder, 16)
    failing(monkeypatch, errno.ESTALE, 2)
    assert len(list(Batches(train, 9).epoch(0))) == 2 and not train.inspection.skipped


def test_too_many_open_files_are_no_broken_images(folder):
    resource = pytest.importorskip("resource")
    train, _ = data.load(folder, 16)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(int(name) for name in os.listdir("/proc/self/fd"))
    taken = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 4, limits[1]))
        with pytest.raises(OSError):
            while True:
                taken.append(open(os.devnull))
        with pytest.raises(ValueError, match="ulimit -n"):
            list(Batches(train, 9).epoch(0))
    finally:
        for file in taken:
            file.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert not train.inspection.skipped


def test_a_folder_that_vanishes_is_not_a_folder_of_broken_images(folder):
    train, _ = data.load(folder, 16, max_bad=1)
    shutil.rmtree(folder)
    with pytest.raises(ValueError, match="not the file's fault: No such file or directory; see"):
        list(Batches(train, 9).epoch(0))


def test_a_file_that_was_deleted_is_skipped(folder):
    train, _ = data.load(folder, 16, max_bad=1)
    gone = train.files.source.names[0]
    os.unlink(gone)
    list(Batches(train, 9).epoch(0))
    assert set(train.inspection.skipped) == {gone}
