"""YAML to Python values, from libyaml's events.

PyYAML's own loader follows a document's nesting with C recursion, and a file of 100,000 brackets ends the
process (seen with PyYAML 6.0.3). Here nesting is counted, so a document deeper than ``MAX_DEPTH`` is a fault, as is
a key that stands twice in a mapping, of which Kong would silently take the last.

Scalars are read as Kong's lyaml reads them, by YAML 1.1, but dates stay text. A value with a tag of its own
(``!!binary``, ``!vault``) becomes a ``Tagged``, which no schema takes. An alias is the same object again, and may be
one that holds it: who walks the result counts his steps.
"""

from collections.abc import Iterator
from typing import Any

import yaml

from kong_eventhooks_plugin.hooks.plain import Tagged

MAX_DEPTH = 100

_MERGE = "tag:yaml.org,2002:merge"
_TEXT = "tag:yaml.org,2002:str"
_PLAIN_COLLECTIONS = frozenset({None, "!", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"})

_RESOLVERS = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":timestamp", ":value"))]
    for first, resolvers in yaml.resolver.Resolver.yaml_implicit_resolvers.items()
}


class YamlFault(Exception):
    """The text is not YAML that can be taken; ``line`` and ``column`` count from 1, None where nobody knows them."""

    def __init__(self, text: str, mark: Any = None) -> None:
        self.line = mark.line + 1 if mark is not None else None
        self.column = mark.column + 1 if mark is not None else None
        super().__init__(text)


def load(data: bytes) -> Any:
    """Return the document's value, None where there is none; raises ``YamlFault`` and nothing else."""
    builder = _Builder()
    try:
        for event in _events(data):
            handle = _HANDLERS.get(type(event))
            if handle is not None:
                handle(builder, event)
    except yaml.MarkedYAMLError as error:
        raise YamlFault(error.problem or str(error), error.problem_mark) from error
    except yaml.YAMLError as error:
        at = getattr(error, "position", None)
        raise YamlFault(f"{str(error).splitlines()[0]}" + (f" at position {at}" if at is not None else "")) from error
    return builder.document


def _events(data: bytes) -> Iterator[Any]:
    parser = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(data)
    try:
        while parser.check_event():
            yield parser.get_event()
    finally:
        parser.dispose()


_NO_KEY = object()


class _Frame:
    """A collection that is being filled."""

    def __init__(self, value: Any, mark: Any) -> None:
        self.value = value
        self.mark = mark
        self.key: Any = _NO_KEY
        self.keys: set[Any] = set()
        self.merged: list[tuple[Any, Any]] = []


class _Merge:
    """The key ``<<``."""


class _Builder:
    """Puts each event's value into the collection that is open."""

    def __init__(self) -> None:
        self.document: Any = None
        self._frames: list[_Frame] = []
        self._anchors: dict[str, Any] = {}
        self._documents = 0

    def start_document(self, event: Any) -> None:
        self._documents += 1
        self._anchors = {}
        if self._documents > 1:
            raise YamlFault("holds more than one document", event.start_mark)

    def alias(self, event: Any) -> None:
        if event.anchor not in self._anchors:
            raise YamlFault(f"the alias '{event.anchor}' has no anchor before it", event.start_mark)
        self._put(self._anchors[event.anchor], event)

    def scalar(self, event: Any) -> None:
        value = _scalar(event)
        self._remember(event, value)
        self._put(value, event)

    def start_list(self, event: Any) -> None:
        self._open([], event)

    def start_mapping(self, event: Any) -> None:
        self._open({}, event)

    def end(self, _event: Any) -> None:
        frame = self._frames.pop()
        for value, mark in frame.merged:
            for source in value if isinstance(value, list) else [value]:
                if not isinstance(source, dict):
                    raise YamlFault("'<<' takes a mapping or a list of mappings", mark)
                for key, each in source.items():
                    frame.value.setdefault(key, each)

    def _open(self, value: Any, event: Any) -> None:
        if len(self._frames) >= MAX_DEPTH:
            raise YamlFault(f"nested deeper than {MAX_DEPTH} levels", event.start_mark)
        shown = value if event.tag in _PLAIN_COLLECTIONS else Tagged(event.tag)
        self._remember(event, shown)
        self._put(shown, event)
        self._frames.append(_Frame(value, event.start_mark))

    def _remember(self, event: Any, value: Any) -> None:
        if event.anchor is not None:
            self._anchors[event.anchor] = value

    def _put(self, value: Any, event: Any) -> None:
        frame = self._frames[-1] if self._frames else None
        if frame is not None and isinstance(frame.value, dict) and frame.key is _NO_KEY:
            self._put_key(frame, value, event)
            return
        value = "<<" if value is _Merge else value
        if frame is None:
            self.document = value
        elif isinstance(frame.value, dict):
            self._put_value(frame, value, event)
        else:
            frame.value.append(value)

    def _put_key(self, frame: _Frame, key: Any, event: Any) -> None:
        if isinstance(key, list | dict):
            raise YamlFault("a list or a mapping cannot be a key", event.start_mark)
        if key is not _Merge:
            if key in frame.keys:
                raise YamlFault(f"the key '{str(key)[:100]}' stands twice in one mapping", event.start_mark)
            frame.keys.add(key)
        frame.key = key

    def _put_value(self, frame: _Frame, value: Any, event: Any) -> None:
        key, frame.key = frame.key, _NO_KEY
        if key is _Merge:
            # What is merged may still be empty here: its own events come next.
            frame.merged.append((value, event.start_mark))
        else:
            frame.value[key] = value


_HANDLERS = {
    yaml.DocumentStartEvent: _Builder.start_document,
    yaml.AliasEvent: _Builder.alias,
    yaml.ScalarEvent: _Builder.scalar,
    yaml.SequenceStartEvent: _Builder.start_list,
    yaml.SequenceEndEvent: _Builder.end,
    yaml.MappingStartEvent: _Builder.start_mapping,
    yaml.MappingEndEvent: _Builder.end,
}


def _scalar(event: Any) -> Any:
    text: str = event.value
    tag = event.tag
    if tag is None:
        tag = _implicit(text) if event.implicit[0] else _TEXT
    elif tag == "!":
        tag = _TEXT
    if tag == _TEXT:
        return text
    if tag == _MERGE:
        return _Merge
    convert = _CONVERTERS.get(tag)
    if convert is None:
        return Tagged(tag)
    try:
        return convert(_CONSTRUCTOR, yaml.ScalarNode(tag, text))
    except (ValueError, KeyError, IndexError, OverflowError) as error:
        raise YamlFault(f"this cannot be read as {tag.rpartition(':')[2]}", event.start_mark) from error


def _implicit(text: str) -> str:
    for tag, pattern in _RESOLVERS.get(text[:1], ()):
        if pattern.match(text):
            return str(tag)
    return _TEXT


_CONSTRUCTOR = yaml.constructor.SafeConstructor()
_CONVERTERS = {
    "tag:yaml.org,2002:null": yaml.constructor.SafeConstructor.construct_yaml_null,
    "tag:yaml.org,2002:bool": yaml.constructor.SafeConstructor.construct_yaml_bool,
    "tag:yaml.org,2002:int": yaml.constructor.SafeConstructor.construct_yaml_int,
    "tag:yaml.org,2002:float": yaml.constructor.SafeConstructor.construct_yaml_float,
}
