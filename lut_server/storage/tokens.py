"""Access tokens: made, found by their keyed hash, rotated, revoked; never deleted."""

import hmac
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import exists, or_, select, update
from sqlalchemy.orm import Session

from latency_tables.contract import NewToken, Page, TokenRecord, TokenRequest, TokenRotation
from lut_server.credentials import ServerKey, mint
from lut_server.errors import Conflict, NotFound, Unprocessable
from lut_server.storage import paging
from lut_server.storage.models import TokenRow

USE_NOTED_EVERY = timedelta(seconds=60)


def create(session: Session, id: UUID, request: TokenRequest, key: ServerKey, now: datetime) -> NewToken:
    """Make a token; its text is in the answer and nowhere else.

    Raises:
        Conflict: the id is taken.
        Unprocessable: it would have expired already.
    """
    if request.expires_at is not None and request.expires_at <= now:
        raise Unprocessable(
            f"expires_at={request.expires_at.isoformat()}: is in the past; give a later time, or leave it out",
            field="expires_at",
            value=request.expires_at.isoformat(),
        )
    if session.get(TokenRow, id) is not None:
        raise Conflict(
            f"id={id}: this token was made already and shown once; make another under a new id (UUIDv7) "
            "and revoke this one if nobody has it",
            field="id",
            value=str(id),
        )
    token = mint()
    row = TokenRow(
        id=id,
        name=request.name,
        role=request.role,
        device=request.device,
        digest=key.digest(token.encode()),
        key_id=key.id,
        created_at=now,
        expires_at=request.expires_at,
    )
    session.add(row)
    session.flush()
    return NewToken(token=token, record=_record(row))


def rotate(session: Session, id: UUID, rotation: TokenRotation, key: ServerKey, now: datetime) -> NewToken:
    """Make a successor with the same rights; the old token ends after the overlap, or when it would have anyway.

    Without a new `expires_at` the successor lives as long as the old one was meant to.

    Raises:
        NotFound: no such token.
        Conflict: it ended already, or was rotated already.
    """
    row = _load(session, id)
    if row.revoked_at is not None or (row.expires_at is not None and row.expires_at <= now):
        raise Conflict(f"id={id}: this token has ended; make a new one", field="id", value=str(id))
    if row.replaced_by is not None:
        raise Conflict(f"id={id}: rotated already, to {row.replaced_by}; rotate that one", field="id", value=str(id))
    expires_at = rotation.expires_at or (now + (row.expires_at - row.created_at) if row.expires_at else None)
    request = TokenRequest.model_validate(
        {"name": row.name, "role": row.role, "device": row.device, "expires_at": expires_at}
    )
    successor = create(session, rotation.id, request, key, now)
    end = now + timedelta(seconds=rotation.overlap_s)
    row.expires_at = min(end, row.expires_at) if row.expires_at else end
    row.replaced_by = rotation.id
    return successor


def revoke(session: Session, id: UUID, now: datetime) -> TokenRecord:
    row = _load(session, id)
    row.revoked_at = row.revoked_at or now
    return _record(row)


def page(session: Session, after: str | None, limit: int) -> Page[TokenRecord]:
    return paging.page(session, select(TokenRow), TokenRow.id, after, limit, _record)


def find(session: Session, digest: str) -> TokenRecord | None:
    """The token with this keyed hash, whether it has ended or not."""
    row = session.scalars(select(TokenRow).where(TokenRow.digest == digest)).one_or_none()
    # Without the key nobody can choose a hash to look up; the row is compared in constant time all the same.
    return _record(row) if row is not None and hmac.compare_digest(row.digest, digest) else None


def any_exist(session: Session) -> bool:
    return session.scalar(select(exists().where(TokenRow.id.is_not(None)))) is True


def any_valid(session: Session, now: datetime, key_id: str) -> bool:
    """Whether a token of this server key is valid now."""
    valid = exists().where(
        TokenRow.key_id == key_id,
        TokenRow.revoked_at.is_(None),
        or_(TokenRow.expires_at.is_(None), TokenRow.expires_at > now),
    )
    return session.scalar(select(valid)) is True


def is_use_due(record: TokenRecord, now: datetime) -> bool:
    return record.last_used_at is None or record.last_used_at <= now - USE_NOTED_EVERY


def note_use(session: Session, id: UUID, now: datetime) -> None:
    """Remember the last use, at most once a minute also where several processes see it."""
    due = or_(TokenRow.last_used_at.is_(None), TokenRow.last_used_at <= now - USE_NOTED_EVERY)
    session.execute(update(TokenRow).where(TokenRow.id == id, due).values(last_used_at=now))


def _load(session: Session, id: UUID) -> TokenRow:
    row = session.get(TokenRow, id, with_for_update=True)
    if row is None:
        raise NotFound(f"id={id}: no such token; GET /v1/tokens lists those there are", field="id", value=str(id))
    return row


def _record(row: TokenRow) -> TokenRecord:
    return TokenRecord.model_validate({name: getattr(row, name) for name in TokenRecord.model_fields})
