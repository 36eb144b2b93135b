"""What was published beside what a device measured: Tables IV and V with one more column."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from latency_tables.contract import TableRow
from latency_tables.latencies import latency_us
from published_networks import SPACE
from published_networks.convention import Convention
from published_networks.facts import ENTRIES, QUOTED, Data, Entry

Key = tuple[str, int, int, int]
"""Network, height, width, classes."""


@dataclass(frozen=True)
class Standing:
    """An entry, and its latency on a device in microseconds (None: not measured) at the device's own input size.

    `height` and `width` are what it was measured at; `doubtful`: the measurement says so itself.
    """

    entry: Entry
    latency_us: float | None = None
    height: int = 0
    width: int = 0
    doubtful: bool = False

    @property
    def fps(self) -> float | None:
        """Images a second, one at a time."""
        return None if self.latency_us is None else 1e6 / self.latency_us

    @property
    def published_fps(self) -> float | None:
        """As published, None where it was measured at another input size and so is not to be set beside it."""
        return self.entry.fps if self.at_its_size else None

    @property
    def at_its_size(self) -> bool:
        """Measured at the input size of the publication."""
        return (self.height, self.width) == (self.entry.height, self.entry.width)


def key_of(entry: Entry, size: tuple[int, int] | None = None) -> Key | None:
    """What is measured for an entry, at `size` (height, width) or its own; None where nothing is."""
    height, width = size or (entry.height, entry.width)
    return None if entry.network is None else (entry.network, height, width, entry.classes)


def keyed(rows: Iterable[TableRow], convention: Convention | None = None) -> dict[Key, TableRow]:
    """Rows of the space `published` in a convention, by what they measured. Rows of other spaces are left out."""
    params = (convention or Convention()).params
    found: dict[Key, TableRow] = {}
    for row in rows:
        spec, own = row.operation, dict(row.operation.params)
        shape, classes = spec.input_shapes[0], own.pop("classes", None)
        if spec.space == SPACE and own == params and isinstance(classes, int) and len(shape) == 3:
            found[spec.name, shape[1], shape[2], classes] = row
    return found


def once(entries: Sequence[Entry]) -> list[Entry]:
    """The first entry of each network and data set: at one size for all, the others would be the same."""
    first: dict[tuple[str | None, Data], Entry] = {}
    for entry in entries:
        first.setdefault((entry.network, entry.data), entry)
    return list(first.values())


def standings(
    rows: Mapping[Key, TableRow], size: tuple[int, int] | None = None, entries: Sequence[Entry] = ENTRIES
) -> list[Standing]:
    """Every entry beside its row at `size`, or at its own size; quoted entries have none."""
    found = []
    for entry in entries:
        key = key_of(entry, size)
        row = rows.get(key) if key else None
        if row is None or key is None:
            found.append(Standing(entry))
        else:
            latency = latency_us(row, "normalized_us")
            found.append(Standing(entry, latency, key[1], key[2], not row.quality.sound))
    return found


def markdown(measured: Sequence[Standing], device: str, convention: Convention | None = None) -> str:
    """Tables IV (Cityscapes) and V (CamVid) with a column for the device, as Markdown."""
    parts = [f"FPS on {device}: one image, {convention or Convention()}."]
    data: tuple[Data, ...] = ("Cityscapes", "CamVid")
    for name in data:
        rows = [*(row for row in measured if row.entry.data == name), *map(Standing, _quoted(name))]
        parts.append(f"{name}, by mIoU:\n\n" + _table(sorted(rows, key=lambda row: row.entry.miou or 0.0), device))
    return "\n\n".join(parts) + "\n"


COLUMNS: tuple[tuple[str, Callable[[Standing], str]], ...] = (
    ("Network", lambda row: row.entry.title),
    ("Input", lambda row: f"{row.entry.height}×{row.entry.width}"),
    ("mIoU, %", lambda row: "–" if row.entry.miou is None else f"{row.entry.miou:.1f} {row.entry.split}"),
    ("Pretraining", lambda row: row.entry.pretraining),
    ("FPS as published", lambda row: published(row.entry)),
    ("FPS, Titan Xp (LGCNet)", lambda row: _titan(row.entry)),
)
"""Headings and cells of the tables, before that of the device."""


def published(entry: Entry) -> str:
    """The published speed in words."""
    return f"{number(entry.fps)}, {entry.card}, {entry.runtime}" if entry.fps else "–"


def here(row: Standing) -> str:
    """The measured speed in words."""
    if row.fps is None:
        return "–"
    size = "" if row.at_its_size else f" at {row.height}×{row.width}"
    return f"{number(row.fps)}{size}{' (doubtful)' if row.doubtful else ''}"


def number(value: float | None) -> str:
    """With as many decimals as speeds are given."""
    return "–" if value is None else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _table(rows: Sequence[Standing], device: str) -> str:
    lines = [[heading for heading, _ in COLUMNS] + [f"FPS, {device}"], ["---"] * (len(COLUMNS) + 1)]
    lines += [[cell(row) for _, cell in COLUMNS] + [here(row)] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _titan(entry: Entry) -> str:
    remeasured = f", {entry.remeasured_with}" if entry.remeasured_with else ""
    return "–" if entry.titan_xp_fps is None else number(entry.titan_xp_fps) + remeasured


def _quoted(data: Data) -> list[Entry]:
    return [entry for entry in QUOTED if entry.data == data]
