"""The space's names, and the digest of its definition."""

from functools import cache
from importlib import resources

from latency_tables.contract import sha256

SPACE = "mobile"
REQUIREMENT = "mobile-space==1.0"


@cache
def space_digest() -> str:
    """SHA-256 of blocks.py, which defines every operation as it is deployed; a comment changed counts as a change."""
    assert __package__ is not None
    return sha256(resources.files(__package__).joinpath("blocks.py").read_text("utf-8"))
