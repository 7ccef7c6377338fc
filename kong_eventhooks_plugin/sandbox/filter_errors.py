"""What a log may say of an expression that cannot be evaluated: the evaluator quotes the event, or the answer.

A key (``data.consumer.username``) is said where the expression has it: then it is the filter's word. A text that is not
one of the known ones becomes the class of the error alone.
"""

import re
from typing import Final

from kong_eventhooks_plugin.errors import MissingExtra

MISSING_EXTRA: Final = str(MissingExtra("a filter", "filter"))
SUCCESS_NEEDS_EXTRA: Final = str(MissingExtra("config.success", "filter"))

_KEY: Final = re.compile(r'NOT_FOUND: Key not found in map : "?(.*?)"?', re.DOTALL)
_CLASS: Final = re.compile(r"([A-Z_]{1,40}): ")
_WITHOUT_DATA: Final = re.compile(
    r"it is neither true nor false but [A-Z_]+|"
    r"[A-Z_]+: (?:divide by zero|modulus by zero|(?:integer|double|unsigned integer) overflow|duplicate key in map|"
    r"cannot convert \w+ to \w+|Type conversion error from '\w+' to '\w+'|"
    r"String to \w+ conversion failed|No matching overloads found : [\w&|!@<>=*/%+?:-]+(?:\([\w, ]*\))?|"
    r"Applying SELECT to non-message type|Invalid map key type: '\w+'|Index error: expected integer type, got \w+)"
)


def loggable(error: str, expression: str, quoted: str = "the event") -> str:
    """Return the error of ``expression`` without what it quotes from an event or an answer."""
    key = _KEY.fullmatch(error)
    if key is not None and re.search(rf"(?<!\w){re.escape(key[1])}(?!\w)", expression):
        return error
    if error in (MISSING_EXTRA, SUCCESS_NEEDS_EXTRA) or _WITHOUT_DATA.fullmatch(error):
        return error
    found = _CLASS.match(error)
    kind = "an error" if found is None else found[1]
    return f"{kind} (the text is not shown, because it can quote {quoted})"
