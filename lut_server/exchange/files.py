"""Tables in files: `ID.json`, `ID.parquet`, or `ID.csv` beside `ID.header.json`; each with its digest.

The newest calibration of a table lies beside it, in `ID.calibration.json`.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError

from latency_tables.contract import (
    CALIBRATION_SUFFIX,
    Calibration,
    CalibrationFile,
    LatencyTable,
    NetworkSpec,
    TableFile,
)
from latency_tables.validation import first_error
from latency_tables.whole_files import write_whole
from lut_server.errors import Unprocessable
from lut_server.exchange import formats
from lut_server.exchange.formats import Format

MAX_BYTES = 64 * 2**20
HEADER = ".header.json"
BOM = b"\xef\xbb\xbf"


def write_table(folder: Path, table: LatencyTable, format: Format) -> Path:
    """Write a table into a folder, under its id.

    Raises:
        OSError: it cannot be written.
        Unprocessable: Parquet without pyarrow.
    """
    path = folder / f"{table.id}.{format}"
    if format == "json":
        write_whole(path, TableFile(content_digest=table.digest, table=table).model_dump_json().encode())
    else:
        write_whole(path, formats.write(table, format))
    if format == "csv":
        write_whole(folder / f"{table.id}{HEADER}", json.dumps(formats.header(table), indent=1).encode())
    return path


def write_calibration(folder: Path, calibration: Calibration, networks: Sequence[NetworkSpec]) -> Path:
    """Write a calibration beside its table, with the networks of its evidence.

    Raises:
        OSError: it cannot be written.
    """
    path = folder / f"{calibration.table_id}{CALIBRATION_SUFFIX}"
    file = CalibrationFile(content_digest=calibration.digest, calibration=calibration, networks=tuple(networks))
    write_whole(path, file.model_dump_json().encode())
    return path


def find_tables(paths: Iterable[Path]) -> Iterator[Path]:
    """The table files among paths and in folders.

    Raises:
        Unprocessable: a path is no table file, or a folder holds none.
    """
    for path in paths:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        table_files = [file for file in files if _is_table(file)]
        if not table_files:
            raise Unprocessable(f"{path}: no table; give files ID.json, ID.csv or ID.parquet, or their folder")
        yield from table_files


def read_table(path: Path) -> LatencyTable:
    """The table of a file; it has the digest that the file names.

    Raises:
        OSError: the file cannot be read.
        Unprocessable: it is no table, or its content does not have the digest that it names.
    """
    try:
        data = _read(path)
        if path.suffix == ".json":
            return TableFile.model_validate_json(data.removeprefix(BOM)).table
        if path.suffix == ".csv":
            return formats.read_csv(data, json.loads(_read(path.with_name(path.stem + HEADER)).decode("utf-8-sig")))
        return formats.read_parquet(data)
    except ValidationError as error:
        raise Unprocessable(f"{path}: {first_error(error, 'file')}") from error
    except (ValueError, RecursionError) as error:
        raise Unprocessable(f"{path}: its header is not JSON ({error})") from error
    except Unprocessable as error:
        raise Unprocessable(f"{path}: {error}", field=error.extra.get("field")) from error


def read_calibration(table: Path) -> CalibrationFile | None:
    """The calibration that lies beside a table's file; None if there is none.

    Raises:
        OSError: the file cannot be read.
        Unprocessable: it holds no calibration, or its content does not have the digest that it names.
    """
    path = table.with_name(table.stem + CALIBRATION_SUFFIX)
    if not path.exists():
        return None
    try:
        return CalibrationFile.model_validate_json(_read(path).removeprefix(BOM))
    except ValidationError as error:
        raise Unprocessable(f"{path}: {first_error(error, 'file')}") from error


def _is_table(path: Path) -> bool:
    return path.suffix.removeprefix(".") in formats.FORMATS and not path.name.endswith((HEADER, CALIBRATION_SUFFIX))


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise Unprocessable(f"{path}: larger than {MAX_BYTES} bytes, so no table")
    return data
