"""What the server refuses, each kind with its HTTP status; `extra` becomes members of the problem document."""

from collections.abc import Mapping
from typing import Any, ClassVar


class ServiceError(Exception):
    """A request that cannot be served; the message names field, value and the way out."""

    status: ClassVar[int]
    title: ClassVar[str]

    def __init__(self, detail: str, headers: Mapping[str, str] | None = None, **extra: Any) -> None:
        super().__init__(detail)
        self.headers = headers
        self.extra = extra


class Malformed(ServiceError):
    status = 400
    title = "Malformed"


class Unauthorized(ServiceError):
    status = 401
    title = "Not authorized"


class Forbidden(ServiceError):
    status = 403
    title = "Forbidden"


class NotFound(ServiceError):
    status = 404
    title = "Not found"


class TooSlow(ServiceError):
    status = 408
    title = "Too slow"


class Conflict(ServiceError):
    status = 409
    title = "Conflict"


class LeaseEnded(ServiceError):
    status = 410
    title = "Lease ended"


class TooLarge(ServiceError):
    status = 413
    title = "Too large"


class NotJson(ServiceError):
    status = 415
    title = "Not JSON"


class Unprocessable(ServiceError):
    status = 422
    title = "Cannot be processed"


class TooManyFailures(ServiceError):
    status = 429
    title = "Too many failed logins"


class NotReady(ServiceError):
    status = 503
    title = "Not available now"
