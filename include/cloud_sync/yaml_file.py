"""Read a YAML file written by a person: plain data, and for each value the line where it stands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from cloud_sync.errors import ConfigError

# libyaml's parser is about ten times faster, which the DAG processor pays every 30 seconds.
LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

MAX_DEPTH: Final = 32
"""Deeper files are refused: libyaml builds the tree by recursion, and enough of it ends the process."""

BAD_ESCAPE = re.compile("unknown escape|expected escape|did not find expected hexdecimal")
"""What the parsers of PyYAML say of a backslash in double quotes that begins no escape."""

TAG: Final = "tag:yaml.org,2002:"
TEXT_TAGS: Final = frozenset({f"{TAG}timestamp", f"{TAG}value"})
"""Dates and a lone `=` look like text to a person, so they are text."""

PLAIN_TAGS: Final = frozenset(
    f"{TAG}{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq", "merge")
)


@dataclass(frozen=True, slots=True)
class YamlFile:
    """A file that was read.

    Attributes:
        data: Its content: dicts, lists, strings, numbers, booleans, None.
        root: Its tree with the places of all values; None for an empty file.
    """

    data: Any
    root: yaml.Node | None

    def place(self, path: tuple[int | str, ...]) -> tuple[int, str]:
        """Return the line (from 1) and the dotted name of a value, as far as the file has it."""
        node, line, name = self.root, 1, ""
        for step in path:
            name += f"[{step}]" if isinstance(step, int) else f".{step}" if name else step
            child = _child(node, step)
            if child is None:
                break
            line, node = child
        return line, name or "the file"


def read_yaml(path: Path) -> YamlFile:
    """Read one file.

    Raises:
        ConfigError: It cannot be read, or is not YAML of plain values, or repeats a key; names the line.
    """
    text = _read_text(path)
    try:
        _check_depth(text)
        loader = LOADER(text)
        try:
            root = loader.get_single_node()
            _check_nodes(loader, root)
            return YamlFile(loader.construct_document(root) if root else None, root)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _not_yaml(path, mark.line + 1 if mark else 1, str(error.problem)) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _not_yaml(path, line, "it holds a control character") from None


def _read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except OSError as error:
        raise ConfigError(
            f"cannot be read: {error.strerror}.",
            where=str(path),
            remedy="Check that it is a file and its permissions.",
        ) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            "is not UTF-8 text.", where=f"{path}, line {line}", remedy="Save it as UTF-8."
        ) from None


def _not_yaml(path: Path, line: int, problem: str) -> ConfigError:
    remedy = "Check the indentation, the quotes and the characters there."
    if BAD_ESCAPE.search(problem):
        remedy = r"Write it in single quotes, such as '\.jpg$': in double quotes a backslash is an escape."
    return ConfigError(f"is not valid: {problem}.", where=f"{path}, line {line}", remedy=remedy)


def _check_depth(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                mark: Any = event.start_mark
                raise yaml.MarkedYAMLError(problem="it is nested too deeply", problem_mark=mark)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _check_nodes(loader: Any, root: yaml.Node | None) -> None:
    """Make every scalar once, so that one that cannot be made is named with its line."""
    for node in _nodes(root):
        if node.tag in TEXT_TAGS and isinstance(node, yaml.ScalarNode):
            node.tag = f"{TAG}str"
        if node.tag not in PLAIN_TAGS:
            raise yaml.MarkedYAMLError(
                problem=f"the tag {node.tag.removeprefix(TAG)!r} has no use here",
                problem_mark=node.start_mark,
            )
        if isinstance(node, yaml.MappingNode):
            _refuse_repeated_keys(node)
        elif isinstance(node, yaml.ScalarNode) and node.tag != f"{TAG}merge":
            _check_scalar(loader, node)


def _check_scalar(loader: Any, node: yaml.ScalarNode) -> None:
    try:
        loader.construct_object(node)
    except (ValueError, LookupError):  # what PyYAML lets through for `!!bool maybe` or an endless number
        kind = node.tag.removeprefix(TAG)
        raise yaml.MarkedYAMLError(
            problem=f"this is no value of the type {kind!r}", problem_mark=node.start_mark
        ) from None


def _refuse_repeated_keys(mapping: yaml.MappingNode) -> None:
    seen: set[str] = set()
    for key, _ in mapping.value:
        if not isinstance(key, yaml.ScalarNode):
            continue
        if key.value in seen:
            raise yaml.MarkedYAMLError(
                problem=f"the field {key.value!r} stands here a second time; keep one of them",
                problem_mark=key.start_mark,
            )
        seen.add(key.value)


def _nodes(root: yaml.Node | None) -> Iterator[yaml.Node]:
    todo, seen = [root] if root else [], set[int]()
    while todo:
        node = todo.pop()
        if id(node) in seen:  # an alias names the same node again
            continue
        seen.add(id(node))
        yield node
        if isinstance(node, yaml.MappingNode):
            todo += [child for pair in node.value for child in pair]
        elif isinstance(node, yaml.SequenceNode):
            todo += node.value


def _child(node: yaml.Node | None, step: int | str) -> tuple[int, yaml.Node] | None:
    """Return the line and the value of an entry."""
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step].start_mark.line + 1, node.value[step]
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == step:
                return key.start_mark.line + 1, value
    return None
