"""One sample, and what a monitor saw while it was taken."""

from enum import Enum
from typing import NamedTuple


class Doubt(Enum):
    """What a monitor saw during a block."""

    NONE = "none"
    DISTURBED = "disturbed"
    THROTTLED = "throttled"


class Block(NamedTuple):
    """One sample: microseconds per execution, and what was seen meanwhile."""

    latency_us: float
    doubt: Doubt = Doubt.NONE
