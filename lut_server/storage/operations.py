"""Operation specs by their digest."""

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from latency_tables.contract import OperationSpec
from lut_server.storage.database import insert_missing, select_in
from lut_server.storage.models import OperationRow


def add(session: Session, operations: Iterable[OperationSpec]) -> None:
    rows = [
        {
            "digest": operation.digest,
            "space": operation.space,
            "space_digest": operation.space_digest,
            "body": operation.canonical,
        }
        for operation in operations
    ]
    insert_missing(session, OperationRow, sorted(rows, key=lambda row: row["digest"]))


def of_space(session: Session, space: str, space_digest: str, keys: Iterable[str]) -> dict[str, OperationSpec]:
    """Those of the keys that are operations of one definition of a space."""
    query = select(OperationRow.digest, OperationRow.body).where(
        OperationRow.space == space, OperationRow.space_digest == space_digest
    )
    rows = select_in(session, query, OperationRow.digest, keys)
    return {digest: OperationSpec.model_validate_json(body) for digest, body in rows}
