"""What the server refuses, each kind with its HTTP status; `extra` becomes members of the problem document."""

from typing import Any, ClassVar


class ServiceError(Exception):
    """A request that cannot be served; the message names field, value and the way out."""

    status: ClassVar[int]
    title: ClassVar[str]

    def __init__(self, detail: str, **extra: Any) -> None:
        super().__init__(detail)
        self.extra = extra


class NotFound(ServiceError):
    status = 404
    title = "Not found"


class Conflict(ServiceError):
    status = 409
    title = "Conflict"


class LeaseEnded(ServiceError):
    status = 410
    title = "Lease ended"


class Unprocessable(ServiceError):
    status = 422
    title = "Cannot be processed"
