"""An executed notebook as a page: the title, the claim, the story, and the parameters last."""

import reading
from msr.experiments import reproduction
from msr.report import kept


def cell(source, *tags, kind="code"):
    return {"cell_type": kind, "metadata": {"tags": list(tags)}, "source": source}


def test_the_claim_follows_the_title_and_parameters_come_last():
    cells = [
        cell("# Title", kind="markdown"),
        cell("epochs = 1", "parameters", "hide-input"),
        cell("epochs = 2", "injected-parameters", "hide-input"),
        cell("import msr"),
        cell("## Check", kind="markdown"),
    ]
    page = reading.for_reading({"cells": cells, "nbformat": 4}, "The claim.")
    sources = [c["source"] for c in page["cells"]]
    assert sources[:4] == ["# Title", "The claim.", "import msr", "## Check"]
    assert sources[4].startswith("## The parameters") and sources[5:] == [
        "epochs = 1",
        "epochs = 2",
    ]
    assert page["nbformat"] == 4
    plain = reading.for_reading({"cells": [cells[0], cells[3]]})
    assert plain["cells"] == [cells[0], cells[3]]


def test_a_page_is_headed_by_its_first_claim_and_the_kept_number():
    for page, some in reproduction.stated().items():
        known = (kept.RESULTS / f"{page}.json").exists()
        assert (f"{some[0].text}: " in reproduction.headline(page)) == known
    assert reproduction.headline("performance") == ""
