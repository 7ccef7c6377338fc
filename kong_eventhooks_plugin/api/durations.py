"""Durations for people, in the console and on a terminal."""


def span(seconds: float) -> str:
    """Return a duration for people: ``250 ms``, ``5 s``, ``3 min``, ``2 h``, ``4 d``."""
    if seconds < 1:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    for length, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f}".removesuffix(".0") + " s"
