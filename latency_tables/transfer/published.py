"""Published latencies: a CSV of whole networks on devices, and the space that they are of in a JSON file."""

import csv
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Annotated

import uuid6
from pydantic import Field, ValidationError

from latency_tables.contract import (
    MAX_OPERATIONS,
    MAX_PUBLISHED,
    Contract,
    Digest,
    Name,
    NetworkSpec,
    OperationSpec,
    OperationWork,
    Publication,
    PublishedLatency,
    Shape,
    Size,
    Work,
)
from latency_tables.validation import first_error

COLUMNS = ("device", "network", "latency_us", "batch", "source", "date")
_MOST_US = 1e12
_UNITS = {"latency": "", "latency_ms": " (1 ms is 1000 µs)", "latency_s": " (1 s is 1000000 µs)"}


class BadPublication(ValueError):
    """A file of published latencies that cannot be used; the message names line, field and value."""


class KnownOperation(Contract):
    """An operation of a published space, with its work if somebody counted it."""

    operation: OperationSpec
    work: Work | None = None


class KnownNetwork(Contract):
    """A network under the name that the CSV has; `counts`: how often it executes which operation (by its place)."""

    name: Annotated[str, Field(min_length=1, max_length=10_000)]
    counts: Annotated[tuple[tuple[Annotated[int, Field(ge=0)], Size], ...], Field(min_length=1)]


class PublishedSpace(Contract):
    """Networks of a space by name, in a file: what turns a CSV of names into networks of operations."""

    space: Name
    space_digest: Digest
    input_shape: Shape
    operations: Annotated[tuple[KnownOperation, ...], Field(min_length=1, max_length=MAX_OPERATIONS)]
    networks: Annotated[tuple[KnownNetwork, ...], Field(min_length=1, max_length=MAX_PUBLISHED)]

    @classmethod
    def of(cls, networks: Mapping[str, NetworkSpec], works: Mapping[str, Work]) -> "PublishedSpace":
        """Of networks of one definition of a space by their names (at least one), and works by operation digest."""
        first = next(iter(networks.values()))
        operations = {item.operation.digest: item.operation for spec in networks.values() for item in spec.operations}
        place = {digest: index for index, digest in enumerate(operations)}
        return cls(
            space=first.space,
            space_digest=first.space_digest,
            input_shape=first.input_shape,
            operations=tuple(
                KnownOperation(operation=operation, work=works.get(digest)) for digest, operation in operations.items()
            ),
            networks=tuple(
                KnownNetwork(
                    name=name, counts=tuple((place[item.operation.digest], item.count) for item in spec.operations)
                )
                for name, spec in networks.items()
            ),
        )

    @property
    def works(self) -> dict[str, Work]:
        """By digest, of those operations whose work was counted."""
        return {known.operation.digest: known.work for known in self.operations if known.work}

    def specs(self) -> dict[str, NetworkSpec]:
        """Every network by its name; the genotype is the name. Raises BadPublication."""
        specs = {}
        for known in self.networks:
            if known.name in specs:
                raise BadPublication(f"networks: {known.name!r} is repeated; list each once")
            if any(place >= len(self.operations) for place, _ in known.counts):
                raise BadPublication(f"networks: {known.name!r} counts an operation that the file does not list")
            counts = {self.operations[place].operation: count for place, count in known.counts}
            specs[known.name] = NetworkSpec.of(self.space, self.space_digest, known.name, self.input_shape, counts)
        return specs


@dataclass(frozen=True)
class Line:
    """A line of the CSV, in microseconds for the whole batch; `number` is for messages."""

    device: str
    network: str
    latency_us: float
    batch: int
    source: str
    date: date
    number: int = 0


def read_space(path: Path) -> PublishedSpace:
    """Raises BadPublication, OSError."""
    try:
        return PublishedSpace.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise BadPublication(f"{path}: {first_error(error, 'space')}") from error


def read_lines(path: Path) -> Iterator[Line]:
    """The lines of a CSV with the columns COLUMNS. Raises BadPublication, OSError."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        header = reader.fieldnames or ()
        missing = [column for column in COLUMNS if column not in header]
        if missing:
            unit = next((name for name in header if name in _UNITS), None)
            hint = f"; {unit} is in another unit: convert it to latency_us{_UNITS[unit]}" if unit else ""
            raise BadPublication(f"{path}: no column {', '.join(missing)}; a file has {','.join(COLUMNS)}{hint}")
        for number, values in enumerate(reader, start=2):
            if None in values or None in values.values():
                raise BadPublication(f"{path}, line {number}: not {len(header)} values; quote those with a comma")
            yield _line(path, values, number)


def publications(
    lines: Iterable[Line], networks: Mapping[str, NetworkSpec], works: Mapping[str, Work], now: datetime | None = None
) -> list[Publication]:
    """One for each device and batch size, in the order of the lines.

    Raises:
        BadPublication: a network is unknown or repeated, or lines of one device and batch have several sources or
            dates.
    """
    by_device: dict[tuple[str, int], list[Line]] = {}
    seen: dict[tuple[str, int, str], int] = {}
    for line in lines:
        if line.network not in networks:
            raise BadPublication(
                f"line {line.number}: network={line.network[:80]!r} is none of the space's {len(networks)} networks; "
                "add it to the space's file, or leave the line out"
            )
        first = seen.setdefault((line.device, line.batch, line.network), line.number)
        if first != line.number:
            raise BadPublication(
                f"line {line.number}: network={line.network[:80]!r} on device={line.device!r}, batch={line.batch} is "
                f"in line {first} already; keep one of them, or their median"
            )
        by_device.setdefault((line.device, line.batch), []).append(line)
    return [_publication(group, networks, works, now) for group in by_device.values()]


def _publication(
    lines: list[Line], networks: Mapping[str, NetworkSpec], works: Mapping[str, Work], now: datetime | None
) -> Publication:
    first = lines[0]
    for line in lines:
        if (line.source, line.date) != (first.source, first.date):
            raise BadPublication(
                f"line {line.number}: device={line.device!r}, batch={line.batch} has source={line.source!r} and "
                f"date={line.date}, but {first.source!r} and {first.date} in line {first.number}; name the device apart"
            )
    specs = [networks[line.network] for line in lines]
    keys = dict.fromkeys(item.operation.digest for spec in specs for item in spec.operations)
    try:
        return Publication(
            id=uuid6.uuid7(),
            created_at=now or datetime.now(timezone.utc),
            device=first.device,
            batch_size=first.batch,
            source=first.source,
            measured_on=first.date,
            space=specs[0].space,
            space_digest=specs[0].space_digest,
            works=tuple(OperationWork(key=key, work=works[key]) for key in keys if key in works),
            latencies=tuple(
                PublishedLatency(network=spec.digest, latency_us=line.latency_us)
                for spec, line in zip(specs, lines, strict=True)
            ),
        )
    except ValidationError as error:
        raise BadPublication(f"line {first.number}: {first_error(error, 'publication')}") from error


def _line(path: Path, values: Mapping[str, str | None], number: int) -> Line:
    try:
        return _parsed(values, number)
    except ValueError as error:
        raise BadPublication(f"{path}, line {number}: {error}") from error


def _parsed(values: Mapping[str, str | None], number: int) -> Line:
    texts = {column: (values[column] or "").strip() for column in COLUMNS}
    for column, text in texts.items():
        if not text:
            raise ValueError(f"{column} is empty; give it in every line")
    return Line(
        device=texts["device"],
        network=texts["network"],
        latency_us=_number("latency_us", texts["latency_us"]),
        batch=_batch(texts["batch"]),
        source=texts["source"],
        date=_date(texts["date"]),
        number=number,
    )


def _number(column: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= _MOST_US:
        raise ValueError(f"{column}={text!r} is not a latency; give microseconds as a number above 0, without a unit")
    return value


def _batch(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= 65536:
        raise ValueError(f"batch={text!r} is no batch size; give a whole number from 1 to 65536")
    return int(text)


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"date={text!r} is no date; give it like 2021-06-16") from error
