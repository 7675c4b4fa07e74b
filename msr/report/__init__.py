"""What a page shows: its numbers, and the figures, tables and sentences made from them.

Nothing here computes a measure. `metrics` collects the numbers in metrics.json. `verdict`
is the one rule that decides between "better", "as promised" and "no clear difference". `tables` and
`sentences` put numbers into Markdown; `plots` draws numbers and `galleries` draws images. The last
four are used by the name of the module, such as `plots.heatmap`.
"""

from msr.report import galleries, plots, sentences, tables
from msr.report.metrics import Cell, Metrics, Scores, Table, over_seeds
from msr.report.sentences import Facts
from msr.report.verdict import NOTE, Verdict, between, leads, paired

__all__ = [
    "NOTE",
    "Cell",
    "Facts",
    "Metrics",
    "Scores",
    "Table",
    "Verdict",
    "between",
    "galleries",
    "leads",
    "over_seeds",
    "paired",
    "plots",
    "sentences",
    "tables",
]
