"""Operation specs by their digest."""

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from lut_server.database import insert_missing
from lut_server.models import OperationRow
from lut_server.schemas import OperationSpec, canonical_json


def add(session: Session, operations: Iterable[OperationSpec]) -> None:
    rows = [
        {
            "digest": operation.digest,
            "space": operation.space,
            "space_digest": operation.space_digest,
            "body": canonical_json(operation.model_dump(mode="json")),
        }
        for operation in operations
    ]
    insert_missing(session, OperationRow, sorted(rows, key=lambda row: row["digest"]))


def of_space(session: Session, space: str, space_digest: str) -> dict[str, OperationSpec]:
    """Every known operation of one definition of a space, by digest."""
    query = select(OperationRow).where(OperationRow.space == space, OperationRow.space_digest == space_digest)
    return {row.digest: OperationSpec.model_validate_json(row.body) for row in session.scalars(query)}
