"""What a client raises: one small tree; every message says what to do."""

from uuid import UUID

import httpx
from pydantic import ValidationError

from latency_tables.contract import ErrorCard, Job, Problem


class LutError(Exception):
    """Anything that the server or the way to it answered; the message says what to do."""

    def __init__(self, message: str, *, status: int | None = None, problem: Problem | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.problem = problem


class ServerUnavailable(LutError):
    """No answer, or only 503 or 429, for as long as the client retries."""


class NotFound(LutError):
    """404: the message names what there is instead."""


class Conflict(LutError):
    """409: the same id with other content, or a state that does not allow it."""


class LeaseLost(LutError):
    """410: the lease ended or another token holds it; stop working on its job."""


class Rejected(LutError):
    """422 and any other 4xx: the message names field, value and the way out."""


class JobFailed(LutError):
    """The job that was waited for failed or was cancelled."""

    def __init__(self, job: Job) -> None:
        super().__init__(f"job {job.id} {job.state}: {job.error or 'no reason given'}")
        self.job = job


class NotAccurate(LutError):
    """A table does not predict networks as well as was demanded; `card` is None where nobody knows how well."""

    def __init__(self, table_id: UUID, max_mape: float, card: ErrorCard | None) -> None:
        demanded = f"max_mape={max_mape:g} was demanded of table {table_id}"
        if card is None:
            said = (
                f"{demanded}, and no network was measured to tell how well it predicts. Have its device measure some: "
                "submit_job with networks of its space (three at least), then ask again"
            )
        else:
            said = (
                f"{demanded}, and its calibrated predictions are {card.calibrated.mape:.1%} off in the mean (at most "
                f"{card.calibrated.max_rel:.1%}; the raw sums {card.raw.mape:.1%}), over {card.networks} networks, the "
                f"last of them measured {card.measured_at:%Y-%m-%d}. Have its device measure more networks, or on "
                "a quieter machine its doubtful operations again (lgcnet-search profile --again, or a job with "
                "repeat_doubtful); or demand less"
            )
        super().__init__(said)
        self.table_id = table_id
        self.max_mape = max_mape
        self.card = card


class UnreadableTable(LutError):
    """A file holds no table, or one whose content is not what was exported."""


_ERRORS: dict[int, type[LutError]] = {404: NotFound, 409: Conflict, 410: LeaseLost}


def problem_of(response: httpx.Response) -> Problem | None:
    try:
        return Problem.model_validate_json(response.content)
    except ValidationError:
        return None


def error_of(response: httpx.Response) -> LutError:
    """The exception that an answer's status stands for."""
    status = response.status_code
    problem = problem_of(response)
    kind = _ERRORS.get(status, Rejected if 400 <= status < 500 else LutError)
    request = response.request
    said = f"{problem.title}: {problem.detail}" if problem else f"{request.method} {request.url} answered {status}"
    return kind(said, status=status, problem=problem)
