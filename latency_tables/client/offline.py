"""A table and its calibration from files, without a server."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from latency_tables.client.errors import UnreadableTable
from latency_tables.contract import CALIBRATION_SUFFIX, Calibration, CalibrationFile, LatencyTable, TableFile
from latency_tables.validation import first_error

FileT = TypeVar("FileT", bound=BaseModel)


def load_table(path: Path | str) -> LatencyTable:
    """The table of a JSON file that `lut-server export` wrote, checked against the digest in the file.

    Raises:
        UnreadableTable: the file does not exist, holds no table, was changed, or is of a newer version.
    """
    return _load(Path(path), TableFile).table


def load_calibration(path: Path | str) -> Calibration | None:
    """The calibration that `lut-server export` wrote beside the table of `path`; None where it wrote none.

    Raises:
        UnreadableTable: its file cannot be read, holds no calibration, was changed, or is of a newer version.
    """
    beside = Path(path).with_suffix(CALIBRATION_SUFFIX)
    return _load(beside, CalibrationFile).calibration if beside.exists() else None


def _load(path: Path, kind: type[FileT]) -> FileT:
    try:
        return kind.model_validate_json(path.read_bytes().removeprefix(b"\xef\xbb\xbf"))
    except OSError as error:
        raise UnreadableTable(f"{path}: {error.strerror}; lut-server export --format json writes one") from error
    except ValidationError as error:
        raise UnreadableTable(
            f"{path}: {first_error(error, 'file')}; lut-server export --format json writes it with its digest"
        ) from error
