"""What a server's refusal means for a request of the agent: later, never, or not by this agent."""

from latency_tables.client import LutError

LATER = frozenset({408, 425, 429})
WHO = frozenset({401, 403})


def may_come_later(error: LutError) -> bool:
    """No answer, a server in trouble, or too many requests: asking again can help."""
    return error.status is None or error.status >= 500 or error.status in LATER


def is_refusal(error: LutError) -> bool:
    """The server will never accept this, whoever sends it."""
    return error.status is not None and 400 <= error.status < 500 and error.status not in LATER | WHO
