"""What PostgreSQL's texts cannot have."""


def plain(text: str) -> str:
    """Return a text without NUL and halves of surrogate pairs: U+FFFD and a question mark are in their place."""
    if text.isascii() and text.isprintable():
        return text
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
