"""Access tokens."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field, model_validator

from latency_tables.contract.base import Contract, DeviceUuid, Text

Role = Literal["read", "search", "agent", "admin"]
"""Each role may also do what the roles before it may."""


class TokenRequest(Contract):
    """An access token to be made; `device` binds an agent's token to one device, None leaves it open."""

    name: Annotated[Text, Field(description="Whose it is or what it is for.")]
    role: Role
    device: DeviceUuid | None = None
    expires_at: AwareDatetime | None = None

    @model_validator(mode="after")
    def _check(self) -> "TokenRequest":
        if self.device is not None and self.role != "agent":
            raise ValueError(f"device={self.device!r}: only a token of role agent is for one device")
        return self


class TokenRotation(Contract):
    """Replace a token: the new one is `id`; the old one stays valid for `overlap_s` (at most 30 days)."""

    id: UUID
    overlap_s: Annotated[float, Field(ge=0, le=30 * 86400)] = 86400.0
    expires_at: AwareDatetime | None = None


class TokenRecord(Contract):
    """A token as the server knows it; the token itself is not stored."""

    id: UUID
    name: str
    role: Role
    device: str | None
    created_at: AwareDatetime
    expires_at: AwareDatetime | None
    last_used_at: AwareDatetime | None
    revoked_at: AwareDatetime | None
    replaced_by: UUID | None


class NewToken(Contract):
    """A new token: `token` is never shown again."""

    token: str
    record: TokenRecord
