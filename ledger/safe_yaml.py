"""Safe YAML loader with limits on depth, and on size once aliases are written out.

A few lines of aliases of aliases can stand for more than a machine holds, and a few kilobytes of brackets are deeper
than Python recurses. The library's safe loader refuses neither, and raises errors of all kinds over a value that is
not of the type it looks like.
"""

from __future__ import annotations

from typing import Any

import yaml

MOST_DEPTH = 50
MOST_NODES = 1_000_000
"""Values, keys, lists and mappings: a study of ten thousand cells has a fifth of that."""


def load(text: str, loader: type[Loader] | None = None) -> Any:
    """Parse a YAML text into nested dictionaries, lists and scalars.

    Args:
        loader: that reads some scalars in another way.

    Raises:
        yaml.YAMLError: it is not YAML, nested more than `MOST_DEPTH` deep, or has more than `MOST_NODES` nodes.
    """
    try:
        return yaml.load(text, loader or Loader)  # a safe loader, see below
    except yaml.YAMLError:
        raise
    except Exception as error:  # !!int x, 2020-99-99, ten thousand digits: each its own
        raise yaml.YAMLError(f"a value is not what it says ({type(error).__name__})") from None


class Loader(yaml.SafeLoader):
    """The library's safe loader, which counts what it composes."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = self._nodes = 0
        self._sizes: dict[int, int] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        aliased, before = self.check_event(yaml.AliasEvent), self._nodes
        self._depth += 1
        if self._depth > MOST_DEPTH:
            raise yaml.YAMLError("nested too deeply")
        node = super().compose_node(parent, index)
        self._depth -= 1
        if aliased:
            if id(node) not in self._sizes:
                raise yaml.YAMLError("an alias of what it is in")
            self._nodes += self._sizes[id(node)]
        else:
            self._nodes += 1
            self._sizes[id(node)] = self._nodes - before
        if self._nodes > MOST_NODES:
            raise yaml.YAMLError("too much of it")
        return node
