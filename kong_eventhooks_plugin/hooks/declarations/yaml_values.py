"""YAML to Python values, as Kong reads it.

libyaml bounds the nesting (1,000 levels, PyYAML 6.0.4). Beyond PyYAML's own safe loader: scalars are read by Kong's
rules (``yaml_scalars``); a repeated key in a mapping is an error, where Kong would silently take the last; and one
merge copies each key once, however often its source is merged. A value with a tag of its own (``!!binary``, ``!vault``)
becomes a ``Tagged``, which no schema accepts; a key that is no text a ``Key`` (``kong_payloads`` reads those of
numbers). An alias is the same object again, which may contain itself: whoever walks the result has to bound it.
"""

import re
from collections.abc import Callable, Generator
from typing import Any, NamedTuple

import yaml

from kong_eventhooks_plugin.hooks.declarations import yaml_scalars
from kong_eventhooks_plugin.hooks.validation.json_values import Key, Tagged

_PLAIN = "!plain"
"""The tag that this loader gives to an unquoted scalar."""

_TAGS = {name: f"tag:yaml.org,2002:{name}" for name in ("str", "seq", "map", "null", "bool", "int", "float")}


class YamlError(Exception):
    """The text is not valid YAML; ``line`` and ``column`` count from 1, None where libyaml does not know them."""

    def __init__(self, text: str, mark: Any = None) -> None:
        self.line = mark.line + 1 if mark is not None else None
        self.column = mark.column + 1 if mark is not None else None
        super().__init__(text)


class Ambiguous(NamedTuple):
    """An unquoted scalar that Kong reads as ``value`` and decK as ``deck``."""

    text: str
    value: Any
    deck: Any
    line: int
    column: int


def refuse(error: YamlError) -> None:
    """Raise the error of a repeated key."""
    raise error


def load(
    data: bytes,
    ambiguous: Callable[[Ambiguous], None] = lambda _: None,
    repeated: Callable[[YamlError], None] = refuse,
) -> Any:
    """Return the document's value, None where it is empty; raises ``YamlError`` and nothing else.

    ``ambiguous`` is called for each scalar that decK reads differently, ``repeated`` for each repeated key; where that
    returns, the last value counts.
    """
    try:
        loader = _Loader(data, ambiguous, repeated)
        try:
            value = loader.get_single_data()
            loader.merge()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        problem = error.problem or str(error)
        if problem.startswith("but "):
            problem = f"{error.context} {problem}"
        raise YamlError(problem, error.problem_mark) from error
    except yaml.YAMLError as error:
        at = getattr(error, "position", None)
        raise YamlError(f"{str(error).splitlines()[0]}" + (f" at position {at}" if at is not None else "")) from error
    except RecursionError as error:
        raise YamlError("is nested too deep") from error
    return value


class _Loader(yaml.CSafeLoader):
    """Resolves and constructs by the rules above; libyaml parses and composes."""

    def __init__(
        self, data: bytes, ambiguous: Callable[[Ambiguous], None], repeated: Callable[[YamlError], None]
    ) -> None:
        super().__init__(data)
        self._ambiguous = ambiguous
        self._repeated = repeated
        self._merges: list[tuple[dict[Any, Any], Any, Any]] = []

    def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
        if kind is yaml.ScalarNode:
            return _PLAIN if implicit[0] else _TAGS["str"]
        return _TAGS["seq" if kind is yaml.SequenceNode else "map"]

    def construct_plain(self, node: Any) -> Any:
        try:
            value = yaml_scalars.value_of(node.value)
        except ValueError as error:
            raise yaml.MarkedYAMLError(problem=str(error), problem_mark=node.start_mark) from error
        other = yaml_scalars.deck_value_of(node.value)
        if not yaml_scalars.is_the_same(value, other):
            self._ambiguous(Ambiguous(node.value, value, other, node.start_mark.line + 1, node.start_mark.column + 1))
        return value

    def construct_map(self, node: Any) -> Generator[dict[Any, Any], None, None]:
        values: dict[Any, Any] = {}
        yield values
        if not isinstance(node, yaml.MappingNode):
            raise yaml.MarkedYAMLError(problem="expected a mapping", problem_mark=node.start_mark)
        for key_node, value_node in node.value:
            key = self._key(key_node)
            value = self.construct_object(value_node)
            if key == "<<":
                self._merges.append((values, value, value_node.start_mark))
                continue
            if key in values:
                self._repeated(YamlError(f"the key '{str(key)[:100]}' is repeated in one mapping", key_node.start_mark))
            values[key] = value

    def _key(self, node: Any) -> str | Key:
        if not isinstance(node, yaml.ScalarNode):
            raise yaml.MarkedYAMLError(problem="a list or a mapping cannot be a key", problem_mark=node.start_mark)
        value = self.construct_object(node)
        if isinstance(value, str):
            return value
        is_number = type(value) in (int, float)
        return Key(f"{value:.16g}" if is_number else node.value, value if is_number else None)

    def merge(self) -> None:
        """Fill mappings from those that they merge, once all are loaded: a source may contain its user."""
        for values, merged, mark in self._merges:
            for source in merged if isinstance(merged, list) else [merged]:
                if not isinstance(source, dict):
                    raise YamlError("'<<' takes a mapping or a list of mappings", mark)
                for key, value in source.items():
                    values.setdefault(key, value)


def _explicit(kinds: tuple[type, ...], refused: str = "$^") -> Callable[[_Loader, Any], Any]:
    """Return the constructor of a scalar with a tag of YAML's own (``!!int``), whose value is of one of the kinds.

    ``refused`` matches the notations of such a value that Kong does not read under the tag.
    """

    def construct(_: _Loader, node: Any) -> Any:
        value = yaml_scalars.value_of(node.value) if isinstance(node, yaml.ScalarNode) else node
        if type(value) not in kinds or re.match(refused, node.value):
            problem = f"this cannot be read as {node.tag.rpartition(':')[2]}"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
        return value

    return construct


_Loader.yaml_constructors = {
    _PLAIN: _Loader.construct_plain,
    _TAGS["str"]: _Loader.construct_scalar,
    _TAGS["seq"]: yaml.constructor.SafeConstructor.construct_yaml_seq,
    _TAGS["map"]: _Loader.construct_map,
    _TAGS["null"]: lambda _loader, _node: None,
    _TAGS["bool"]: _explicit((bool,)),
    _TAGS["int"]: _explicit((int,), r"[^xX]*[.eE]"),
    _TAGS["float"]: _explicit((int, float), "[^.]*:[^.]*$"),
    None: lambda _loader, node: Tagged(node.tag),
}
