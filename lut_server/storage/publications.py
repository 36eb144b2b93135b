"""Published latencies of devices that have no agent: what transfers learn from beside calibrated tables. Immutable."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from latency_tables.calibration import TimedNetwork
from latency_tables.contract import NetworkSpec, Page, Publication, PublicationSummary
from lut_server.errors import NotFound, Unprocessable
from lut_server.storage import networks, paging
from lut_server.storage.database import select_in
from lut_server.storage.models import NetworkRow, PublicationRow

MAX_USED = 500
"""Networks of one publication that a transfer learns from; more make no difference."""


def put(session: Session, publication: Publication, specs: Sequence[NetworkSpec], now: datetime) -> PublicationSummary:
    """Store a publication and its networks; the same content again changes nothing.

    Raises:
        Unprocessable: `specs` lack one of its networks, or are of another definition of its space.
    """
    known = {spec.digest: spec for spec in specs}
    used = [known.get(latency.network) for latency in publication.latencies]
    for spec, latency in zip(used, publication.latencies, strict=True):
        if spec is None:
            raise Unprocessable(f"latencies: network {latency.network} is not given", field="latencies")
        if (spec.space, spec.space_digest) != (publication.space, publication.space_digest):
            raise Unprocessable(
                f"latencies: network {latency.network} is not of space {publication.space!r} with the publication's "
                "space_digest",
                field="latencies",
            )
    query = select(PublicationRow).where(PublicationRow.content_digest == publication.digest)
    row = session.scalars(query).one_or_none()
    if row is None:
        networks.add(session, [spec for spec in used if spec], now)
        row = _new_row(publication)
        session.add(row)
        session.flush()
    return _summary(row)


def get(session: Session, id: UUID) -> Publication:
    """Raises NotFound."""
    content = session.scalar(select(PublicationRow.content).where(PublicationRow.id == id))
    if content is None:
        raise NotFound(
            f"id={id}: no such publication; GET /v1/publications lists those there are", field="id", value=str(id)
        )
    return Publication.model_validate_json(content)


def page(session: Session, space: str | None, after: str | None, limit: int) -> Page[PublicationSummary]:
    query = select(PublicationRow)
    if space is not None:
        query = query.where(PublicationRow.space == space)
    return paging.page(session, query, PublicationRow.sequence, after, limit, _summary)


def ids_of(session: Session, space: str, space_digest: str) -> list[UUID]:
    """Publications of one definition of a space, oldest first."""
    query = select(PublicationRow.id).where(PublicationRow.space == space, PublicationRow.space_digest == space_digest)
    return list(session.scalars(query.order_by(PublicationRow.sequence)))


def observed(session: Session, publication: Publication) -> list[TimedNetwork]:
    """Its networks with their latencies; MAX_USED of them, evenly spread over its list."""
    latencies = publication.latencies
    step = max(1, -(-len(latencies) // MAX_USED))
    used = {latency.network: latency.latency_us for latency in latencies[::step]}
    bodies = dict(select_in(session, select(NetworkRow.digest, NetworkRow.body), NetworkRow.digest, used))
    return [TimedNetwork(NetworkSpec.model_validate_json(bodies[key]), us) for key, us in used.items()]


def _new_row(publication: Publication) -> PublicationRow:
    summary = PublicationSummary(
        content_digest=publication.digest,
        networks=len(publication.latencies),
        **publication.model_dump(include=PublicationSummary.model_fields.keys() - {"content_digest", "networks"}),
    )
    return PublicationRow(
        id=publication.id,
        content_digest=publication.digest,
        created_at=publication.created_at,
        space=publication.space,
        space_digest=publication.space_digest,
        summary=summary.model_dump_json(),
        content=publication.model_dump_json().encode(),
    )


def _summary(row: PublicationRow) -> PublicationSummary:
    return PublicationSummary.model_validate_json(row.summary)
