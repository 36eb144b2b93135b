"""What pydantic says of a value that is not valid, in short."""

from pydantic import ValidationError


def first_error(error: ValidationError, whole: str) -> str:
    """Where and why, of the first thing that is wrong; `whole` names what is wrong as a whole."""
    first = error.errors()[0]
    newer = first["type"] == "extra_forbidden"
    reason = "this version has no such field; upgrade if a newer version wrote it" if newer else first["msg"]
    return f"{'.'.join(map(str, first['loc'])) or whole}: {reason}"
