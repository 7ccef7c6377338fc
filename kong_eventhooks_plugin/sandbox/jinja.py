"""Jinja2 templates in a worker: its sandbox, read-only data, no includes, missing fields empty at any depth.

``{{ }}`` is escaped in HTML and XML only, as Jinja2 does; ``tojson`` and ``urlencode`` are its own filters. A null
value is empty, an object or list is JSON; in a JSON body a boolean and null are too (``json_nulls``). A field comes
before a method of the same name (``entity.items``). Limits on time and memory are the process's (``isolation``).
"""

# Jinja2 and MarkupSafe import these at the first string literal, error or filter: too late in an isolated process.
import encodings.unicode_escape  # noqa: F401 - see above
import html  # noqa: F401 - see above
import pprint  # noqa: F401 - see above
import textwrap  # noqa: F401 - see above
from collections.abc import Callable, Iterator
from typing import Any

import jinja2.debug  # noqa: F401 - see above
import msgspec
from jinja2 import ChainableUndefined, Template, TemplateSyntaxError, Undefined, nodes
from jinja2.exceptions import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from kong_eventhooks_plugin.sandbox.errors import CompilationFailed, TaskFailed, not_compiled
from kong_eventhooks_plugin.sandbox.json_nulls import MARK, with_nulls
from kong_eventhooks_plugin.sandbox.lru import Key, LruCache
from kong_eventhooks_plugin.sandbox.tasks import MAX_SOURCE, CompileError, Render, Rendered, SandboxLimits
from kong_eventhooks_plugin.sandbox.tasks import Template as TemplateText

_NO_FILES = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)
_TAGS = ("{{", "{%", "{#")


class _Environment(ImmutableSandboxedEnvironment):
    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, dict) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)


def _finalize_json(value: Any) -> Any:
    if value is None or isinstance(value, Undefined):
        return MARK.decode()
    return str(value).lower() if isinstance(value, bool) else _finalize(value)


def _finalize(value: Any) -> Any:
    if value is None:
        return ""
    return msgspec.json.encode(value).decode() if isinstance(value, dict | list) else value


def _absent_as_null(value: Any) -> None:
    """Have ``tojson`` write null for a field that is absent."""
    if not isinstance(value, Undefined):
        raise TypeError(f"{type(value).__name__} is not JSON")


def _environment(*, escape: bool = False, finalize: Callable[[Any], Any] = _finalize) -> _Environment:
    environment = _Environment(
        autoescape=escape, undefined=ChainableUndefined, finalize=finalize, keep_trailing_newline=True, cache_size=0
    )
    environment.globals.pop("lipsum", None)
    environment.policies["json.dumps_kwargs"] = {"sort_keys": True, "default": _absent_as_null}
    return environment


class JinjaTemplates:
    def __init__(self, limits: SandboxLimits) -> None:
        self._limits = limits
        self._environments = {
            "": _environment(),
            "html": _environment(escape=True),
            "json": _environment(finalize=_finalize_json),
        }
        self._compiled: LruCache[Template] = LruCache(limits.compiled)

    def render(self, task: Render) -> Rendered:
        """Return the texts; raises ``TaskFailed``."""
        context = task.data | {"event": task.event, "source": task.source}
        room, texts = self._limits.output_bytes, []
        for template in task.templates:
            raw = self._text(template, context, room)
            room -= len(raw)
            texts.append(raw.decode())
        return Rendered(tuple(texts))

    def check(self, text: str) -> None:
        """Compile a template; raises ``CompilationFailed``."""
        self._compiled.get((text, ""), self._compile)

    def _text(self, template: TemplateText, context: dict[str, Any], room: int) -> bytes:
        try:
            environment = template.place if template.place in self._environments else ""
            compiled = self._compiled.get((template.text, environment), self._compile)
            raw = _within(room, compiled.generate(context))
        except MemoryError:
            raise
        except CompilationFailed as error:
            raise TaskFailed("template", f"{template.name}: {error}", not_compiled(error, template.name)) from error
        except Exception as error:  # whatever user code raises is that template's failure
            logged = f"{template.name}: it fails ({type(error).__name__})"
            raise TaskFailed("template", f"{template.name}: {_error_text(error)}", logged) from error
        if raw is None:
            raise TaskFailed("output", f"{template.name}: more than {self._limits.output_bytes} bytes of text")
        return with_nulls(raw) if environment == "json" else raw

    def _compile(self, key: Key) -> Template:
        text, name = key
        if len(text) > MAX_SOURCE:
            raise CompilationFailed(CompileError(1, 1, f"a template may have {MAX_SOURCE} characters"))
        environment = self._environments[name]
        try:
            tree = environment.parse(text)
            for node in tree.find_all(_NO_FILES):
                raise CompilationFailed(
                    _compile_error(text, node.lineno, "templates cannot include, import or extend files")
                )
            return environment.from_string(tree)
        except TemplateSyntaxError as error:
            raise CompilationFailed(_compile_error(text, error.lineno, error.message or "syntax error")) from error
        except (TemplateError, RecursionError, SyntaxError) as error:
            raise CompilationFailed(CompileError(1, 1, _error_text(error))) from error


def _within(room: int, parts: Iterator[str]) -> bytes | None:
    """Join the parts, None where they have more than ``room`` bytes. Half a surrogate pair becomes ``?``."""
    kept = []
    for part in parts:
        raw = part.encode("utf-8", "replace")
        room -= len(raw)
        if room < 0:
            return None
        kept.append(raw)
    return b"".join(kept)


def _compile_error(text: str, line: int, message: str) -> CompileError:
    """Jinja2 reports the line only: the column is that of its first tag."""
    row = text.splitlines()[line - 1] if 0 < line <= len(text.splitlines()) else ""
    columns = [row.find(tag) for tag in _TAGS if tag in row]
    return CompileError(line, min(columns, default=0) + 1, message)


def _error_text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
