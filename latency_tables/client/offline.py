"""A table from a file, without a server."""

from pathlib import Path

from pydantic import ValidationError

from latency_tables.client.errors import UnreadableTable
from latency_tables.contract import LatencyTable, TableFile
from latency_tables.validation import first_error


def load_table(path: Path | str) -> LatencyTable:
    """The table of a JSON file that `lut-server export` wrote, checked against the digest in the file.

    Raises:
        UnreadableTable: the file does not exist, holds no table, was changed, or is of a newer version.
    """
    try:
        return TableFile.model_validate_json(Path(path).read_bytes().removeprefix(b"\xef\xbb\xbf")).table
    except OSError as error:
        raise UnreadableTable(f"{path}: {error.strerror}; lut-server export --format json writes one") from error
    except ValidationError as error:
        raise UnreadableTable(
            f"{path}: {first_error(error, 'file')}; lut-server export --format json writes a table with its digest"
        ) from error
