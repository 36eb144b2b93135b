"""The web page of the published networks: what papers say beside what devices measured."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from latency_tables.contract import LatencyTable, TableSummary
from lut_server.errors import NotFound
from lut_server.nouns import Noun
from lut_server.pages.published_chart import published_chart
from lut_server.pages.templating import TOP, page, picture
from lut_server.routes import pages
from lut_server.routes.state import Parts, State
from lut_server.storage import overview, tables
from published_networks import SPACE
from published_networks.facts import ENTRIES, Data
from published_networks.standing import Standing, here, keyed, number, published, standings

DATA: tuple[Data, ...] = ("Cityscapes", "CamVid")

NOUN = Noun("published", prefix="")
router = APIRouter(include_in_schema=False, route_class=pages.router.route_class)

TableId = Annotated[UUID | None, Query()]


@router.get("/published")
def show_published(parts: Parts, table: TableId = None) -> Response:
    shown, newest = _tables(parts, table)
    rows = _standing(shown)
    return page(
        "published.html",
        TOP,
        here="published",
        table=shown,
        newest=newest,
        data={name: [_cells(row) for row in rows if row.entry.data == name] for name in DATA},
        pictured=[name for name in DATA if shown and published_chart(shown, rows, name)],
    )


@router.get("/published/{data}/picture.svg")
def draw_published(parts: Parts, data: Data, table: TableId = None, phone: bool = False) -> Response:
    shown, _ = _tables(parts, table)
    chart = published_chart(shown, _standing(shown), data, phone=phone) if shown else None
    if chart is None:
        raise NotFound(f"no published network of {data} was measured yet; lgcnet-search figure-1 does it")
    return picture(chart)


def _tables(parts: State, id: UUID | None) -> tuple[LatencyTable | None, list[TableSummary]]:
    """The table of this id, else the newest of the space; and the newest one of every device and runtime."""
    with parts.database.read() as session:
        newest: dict[tuple[str, str], TableSummary] = {}
        for summary in overview.newest_tables(session).items:
            if summary.space == SPACE:
                newest.setdefault((summary.device, str(summary.runtime)), summary)
        chosen = id or next((summary.id for summary in newest.values()), None)
        return (tables.get(session, chosen) if chosen else None), list(newest.values())


def _standing(table: LatencyTable | None) -> list[Standing]:
    return standings(keyed(table.rows) if table else {}, entries=[entry for entry in ENTRIES if entry.network])


def _cells(row: Standing) -> dict[str, str]:
    entry = row.entry
    return {
        "title": entry.title,
        "input": f"{entry.height}×{entry.width}",
        "miou": "–" if entry.miou is None else f"{entry.miou:.1f} {entry.split}",
        "pretraining": entry.pretraining,
        "published": published(entry),
        "titan_xp": number(entry.titan_xp_fps),
        "here": here(row),
        "source": entry.source,
        "remark": entry.remark,
    }
