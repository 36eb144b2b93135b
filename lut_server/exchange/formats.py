"""A table as JSON, CSV or Parquet, and back; a table that is read must have the digest that was written with it."""

import csv
import io
import json
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

from pydantic import ValidationError

from latency_tables.contract import Calibration, Costs, Latency, LatencyTable, Quality, TableRow, canonical_json
from latency_tables.contract.tables import FIGURES, WORK
from latency_tables.validation import first_error
from lut_server.errors import Unprocessable

Format = Literal["json", "csv", "parquet"]
FORMATS: tuple[Format, ...] = get_args(Format)
MEDIA_TYPES: Mapping[Format, str] = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
}
STATISTICS = tuple(Latency.model_fields)
DOUBTS = tuple(Quality.model_fields)
COSTS = tuple(Costs.model_fields)
COLUMNS = (
    *("space", "name", "input_shapes", "params", "key"),
    *STATISTICS,
    *DOUBTS,
    *(*FIGURES, *COSTS, *WORK.values(), "measurement_id"),
)
IN_NETWORK_COLUMNS = ("space", "name", "input_shapes", "params", "key", "isolated_us", "latency_us")
_HEADER = b"lut_table"


def write(table: LatencyTable, format: Format) -> bytes:
    """One line per operation, latencies in microseconds; JSON and Parquet also hold the table's header.

    Raises:
        Unprocessable: Parquet without pyarrow.
    """
    return _WRITERS[format](table)


def header(table: LatencyTable) -> dict[str, Any]:
    """What a CSV file does not hold: everything but the rows, and the digest over all of it."""
    return {"content_digest": table.digest, **table.model_dump(mode="json", exclude={"rows"})}


def in_network_csv(table: LatencyTable, calibration: Calibration) -> bytes:
    """A line per operation: what it costs alone and inside a network, in microseconds."""
    by_key = {row.key: row for row in calibration.rows}
    out = io.StringIO()
    writer = csv.DictWriter(out, IN_NETWORK_COLUMNS, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for record in table.records():
        row = by_key[record["key"]]
        writer.writerow({**record, "isolated_us": row.isolated_us, "latency_us": row.latency_us})
    return out.getvalue().encode()


def read_csv(text: bytes, header: Mapping[str, Any]) -> LatencyTable:
    """The table of a CSV file and its header, whose digest it must have. A byte order mark is no content.

    Raises:
        Unprocessable: it is no table, or its content has another digest.
    """
    try:
        records = list(csv.DictReader(io.StringIO(text.decode("utf-8-sig"), newline="")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise Unprocessable(f"not a CSV file of a table: {error}") from error
    return _assemble(records, header)


def read_parquet(data: bytes) -> LatencyTable:
    """The table of a Parquet file.

    Raises:
        Unprocessable: it is no table, its content has another digest, or there is no pyarrow.
    """
    arrow, parquet = _pyarrow()
    try:
        read = parquet.read_table(io.BytesIO(data))
        return _assemble(read.to_pylist(), json.loads(read.schema.metadata[_HEADER]))
    except (arrow.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise Unprocessable(f"not a Parquet file of a table: {error}") from error


def require_digest(table: LatencyTable, digest: object) -> None:
    """Raise Unprocessable unless the table's content has this digest."""
    if table.digest != digest:
        raise Unprocessable(
            f"content_digest={digest!r}: the content of table {table.id} has digest {table.digest}; "
            "it was changed or damaged on the way, or a newer version wrote it, so nothing is stored",
            field="content_digest",
        )


def _assemble(records: list[dict[str, Any]], header: Mapping[str, Any]) -> LatencyTable:
    fields = {name: value for name, value in header.items() if name != "content_digest"}
    try:
        rows = [_row(record, fields["space_digest"]) for record in records]
        table = LatencyTable.model_validate({**fields, "rows": rows})
    except ValidationError as error:
        raise Unprocessable(f"not a table: {first_error(error, 'rows')}") from error
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise Unprocessable(f"not the rows and header of a table: {type(error).__name__} {error}") from error
    require_digest(table, header.get("content_digest"))
    return table


def _row(record: Mapping[str, Any], space_digest: str) -> TableRow:
    values = {name: None if value == "" else value for name, value in record.items()}
    costs = {name: values[name] for name in COSTS}
    work = {name: values.get(column) for name, column in WORK.items()}
    operation = {
        "space": record["space"],
        "space_digest": space_digest,
        "name": record["name"],
        "input_shapes": [[int(size) for size in shape.split("x")] for shape in record["input_shapes"].split()],
        "params": json.loads(record["params"]),
    }
    return TableRow.model_validate(
        {
            "operation": operation,
            "latency": {name: values[name] for name in STATISTICS},
            "quality": {name: values[name] for name in DOUBTS},
            **{name: values.get(name) for name in FIGURES},
            "costs": costs if any(value is not None for value in costs.values()) else None,
            "work": work if any(value is not None for value in work.values()) else None,
            "measurement_id": record["measurement_id"],
        }
    )


def _to_json(table: LatencyTable) -> bytes:
    return table.model_dump_json().encode()


def _to_csv(table: LatencyTable) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(table.records())
    return out.getvalue().encode()


def _to_parquet(table: LatencyTable) -> bytes:
    arrow, parquet = _pyarrow()
    kinds = {
        **dict.fromkeys(COLUMNS, arrow.string()),
        **dict.fromkeys((*STATISTICS, *FIGURES), arrow.float64()),
        **dict.fromkeys(DOUBTS, arrow.bool_()),
        **dict.fromkeys((*COSTS, *WORK.values(), "count", "rejected_blocks"), arrow.int64()),
        WORK["unused"]: arrow.bool_(),
    }
    schema = arrow.schema(
        [(name, kinds[name]) for name in COLUMNS], metadata={_HEADER: canonical_json(header(table)).encode()}
    )
    out = io.BytesIO()
    parquet.write_table(arrow.Table.from_pylist(list(table.records()), schema=schema), out)
    return out.getvalue()


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise Unprocessable(
            "format='parquet': pyarrow is not installed here; take json or csv, or install it with: "
            "pip install 'lgcnet[parquet]'",
            field="format",
            value="parquet",
        ) from error
    return pyarrow, pyarrow.parquet


_WRITERS: Mapping[Format, Callable[[LatencyTable], bytes]] = {
    "json": _to_json,
    "csv": _to_csv,
    "parquet": _to_parquet,
}
