"""YAML of plain data, as profiles and the command line hold it."""

from __future__ import annotations

import sys
from typing import Any

import yaml


class Plain(yaml.SafeLoader):
    """YAML of plain data without aliases, of which a few lines can stand for billions of values."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Return the next node. Raises YAMLError for an alias."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not read; write the value out")
        return super().compose_node(parent, index)


def plain(text: str, where: str) -> Any:
    """Return the value of a YAML text; what cannot be read ends the program with one line."""
    try:
        return yaml.load(text, Loader=Plain)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        sys.exit(f"{where} cannot be read as YAML: {' '.join(str(error).split())[:200]}")
