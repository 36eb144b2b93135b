"""HTTP caching that routes share: entity tags, and how long an answer holds (RFC 9110 and 9111)."""

from typing import Annotated, Any

from fastapi import Header

FOR_EVER = "private, max-age=31536000, immutable"
ASK_AGAIN = "private, no-cache"
IfNoneMatch = Annotated[str | None, Header(description="The ETag of what you have: 304 if it is still this.")]
NOT_MODIFIED: dict[int | str, dict[str, Any]] = {304: {"description": "You have it already."}}
