"""Errors of pydantic, in short."""

from pydantic import ValidationError

MOST = 100
"""Characters of a refused value that a message shows."""


def first_error(error: ValidationError, whole: str) -> str:
    """Field and reason of the first error; `whole` names the value where the error is of no single field."""
    first = error.errors()[0]
    reason = first["msg"]
    if first["type"] == "extra_forbidden":
        reason = "this version has no such field; upgrade if a newer version wrote it"
    elif first["type"] == "literal_error":
        reason = f"{first['input']!r:.{MOST}} is not {first['ctx']['expected']}"
    return f"{'.'.join(map(str, first['loc'])) or whole}: {reason}"
