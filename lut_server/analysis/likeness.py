"""May two tables be compared? What differs between them besides device, mode, precision and date."""

from collections.abc import Sequence
from typing import NamedTuple

from latency_tables.contract import Environment, Runtime

MACHINE = ("os", "driver", "power_limit_w")
"""What may differ on two devices. Everything else must be equal where both have it."""


class Conditions(NamedTuple):
    """Under which a table was measured; `device` is a uuid."""

    device: str
    environment: Environment
    method_version: str
    runtime: Runtime


def differences(conditions: Sequence[Conditions]) -> list[str]:
    """What makes each table unlike the first one; empty if nothing does."""
    first = conditions[0]
    return list(dict.fromkeys(difference for other in conditions[1:] for difference in _between(first, other)))


def _between(first: Conditions, other: Conditions) -> list[str]:
    pairs: list[tuple[str, object, object]] = [
        ("method", first.method_version, other.method_version),
        ("batch size", first.runtime.batch_size, other.runtime.batch_size),
    ]
    if first.runtime.threads is not None and other.runtime.threads is not None:
        pairs.append(("threads", first.runtime.threads, other.runtime.threads))
    ours, theirs = first.environment.named, other.environment.named
    same_device = first.device == other.device
    for name in dict.fromkeys((*ours, *theirs)):
        both = name in ours and name in theirs
        if same_device or (both and name not in MACHINE):
            pairs.append((name.replace("_", " "), ours.get(name), theirs.get(name)))
    return [f"{name}: {_shown(a)} against {_shown(b)}" for name, a, b in pairs if a != b]


def _shown(value: object) -> str:
    return "none" if value is None else str(value)
