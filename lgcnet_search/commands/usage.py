"""Values on the command line that are refused."""

from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import ValidationError

from latency_tables.validation import first_error
from lgcnet_search.errors import Refused


class UsageError(Refused):
    """A value on the command line that cannot be used."""


@contextmanager
def usage(prefix: str = "") -> Iterator[None]:
    """Turn a refused value into a message about the command line."""
    try:
        yield
    except ValidationError as error:
        raise UsageError(first_error(error, "options")) from error
    except ValueError as error:
        raise UsageError(f"{prefix}{error}") from error
