"""Field types, canonical JSON, and the class that every object of the contract is.

Latencies are microseconds (`_us`) everywhere. Shapes leave out the batch dimension; the batch size is
part of the `Runtime`. A digest is the SHA-256 of the canonical JSON of what it names.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from functools import cache, cached_property
from typing import Annotated, Any, ClassVar, Generic, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PlainSerializer,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

MAX_SAMPLES = 10_000
MAX_OPERATIONS = 10_000
MAX_NETWORKS = 256
MAX_WARNINGS = 16

Item = TypeVar("Item")
Own = TypeVar("Own", bound="Contract")

# Nothing that ends a string or starts a tag in SQL, HTML or a shell, and no control character.
# Nor one that only displays obey: C1 controls, line separators, and what turns the direction of writing.
_PLAIN = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069<>\"'`;\\]*$"
# As pip takes it: a name with versions, or a direct reference (PEP 508) without user, password or what a shell reads.
_REQUIREMENT = (
    r"^[A-Za-z0-9][A-Za-z0-9._-]*(\[[A-Za-z0-9._, -]+\])?"
    r"(( ?(==|~=|!=|<=|>=|<|>) ?[0-9][A-Za-z0-9.*+!-]*,?)*"
    r"| @ (git\+)?(https|ssh|file)://(git@)?[A-Za-z0-9._-]*(:[0-9]+)?/[A-Za-z0-9._/~+-]*(@[A-Za-z0-9._/+-]+)?"
    r"(#[A-Za-z0-9._/=+-]+)?)$"
)
_MAX_INTEGER = 2**53  # JSON readers that know only doubles keep it exactly
_MAX_NUMBER = 1e300

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]*$", max_length=64)]
Text = Annotated[str, StringConstraints(pattern=_PLAIN, min_length=1, max_length=300)]
Remark = Annotated[str, StringConstraints(pattern=_PLAIN, max_length=300)]
Requirement = Annotated[
    str,
    StringConstraints(pattern=_REQUIREMENT, max_length=300),
    Field(description="As pip takes it: name>=1.0, or name @ git+https://host/repository@tag."),
]
Reason = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]*$", min_length=1, max_length=1000)]
DeviceUuid = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)]
Scalar = (
    StrictBool
    | Annotated[StrictInt, Field(ge=-_MAX_INTEGER, le=_MAX_INTEGER)]
    | Annotated[StrictFloat, Field(ge=-_MAX_NUMBER, le=_MAX_NUMBER)]
    | Annotated[StrictStr, StringConstraints(pattern=_PLAIN, max_length=300)]
)
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Correlation = Annotated[float, Field(ge=-1, le=1)]
SampleUs = Annotated[float, Field(ge=1e-6, le=1e15, description="1 ps to 31 years: sums and ratios stay finite")]
StatisticUs = Annotated[float, Field(ge=1e-7, le=1e16)]
Count = Annotated[int, Field(ge=0, le=_MAX_INTEGER)]
Size = Annotated[int, Field(gt=0, le=_MAX_INTEGER)]
Shape = Annotated[tuple[Annotated[int, Field(gt=0, le=2**31)], ...], Field(min_length=1, max_length=8)]


def _items(value: object) -> object:
    return tuple(value.items()) if isinstance(value, Mapping) else value


def _sorted_items(items: tuple[tuple[str, Scalar], ...]) -> tuple[tuple[str, Scalar], ...]:
    if len(dict(items)) != len(items):
        raise ValueError("a name is repeated; give each once")
    return tuple(sorted(items, key=lambda item: item[0]))


Params = Annotated[
    tuple[tuple[Text, Scalar], ...],
    Field(max_length=64),
    BeforeValidator(_items),
    AfterValidator(_sorted_items),
    PlainSerializer(dict, return_type=dict[str, Scalar]),
    WithJsonSchema(
        {
            "type": "object",
            "maxProperties": 64,
            "propertyNames": {"pattern": _PLAIN, "minLength": 1, "maxLength": 300},
            "additionalProperties": {
                "anyOf": [
                    {"type": "boolean"},
                    {"type": "number", "minimum": -_MAX_NUMBER, "maximum": _MAX_NUMBER},
                    {"type": "string", "pattern": _PLAIN, "maxLength": 300},
                ]
            },
        }
    ),
]
"""Named scalars, sorted: a JSON object on the wire, a hashable tuple of pairs in memory."""


def largest_shape(shapes: Iterable[tuple[int, ...]]) -> tuple[int, ...]:
    """Of shapes without their batch dimension the one with the most pixels; of equal ones that with the most channels.

    A shape of fewer than three axes has no pixels; it counts by its numbers where no other shape has any.
    """
    return max(shapes, key=lambda shape: (math.prod(shape[-2:]) if len(shape) > 2 else 0, math.prod(shape)))


def canonical_json(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no spaces, no NaN or infinity (ValueError)."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class Contract(BaseModel):
    """Frozen, equal and hashed by content.

    Fields are added over time, each of them optional and None by default: `canonical` leaves out what is None, so an
    object that does not set the new field keeps its digest. Unknown fields are refused; only a client, which may be
    older than its server, reads answers with `extra="ignore"`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    not_content: ClassVar[frozenset[str]] = frozenset()
    """Fields that the digest leaves out."""

    @cached_property
    def canonical(self) -> str:
        """The canonical JSON of this object's content, without what is None."""
        return canonical_json(self.model_dump(mode="json", exclude=set(self.not_content), exclude_none=True))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON: the key of this object everywhere."""
        return sha256(self.canonical)

    def model_copy(self: Own, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Own:
        """As pydantic's, without the digest and whatever else was derived from the old values."""
        copied = super().model_copy(update=update, deep=deep)
        for name in copied.__dict__.keys() - type(self).model_fields.keys():
            del copied.__dict__[name]
        return copied

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)


class Exact(Contract):
    """A key or an order: a reader must know every field that is set, whatever it does with unknown fields elsewhere.

    Whoever ignored one would look up, or measure, something else.
    """

    @model_validator(mode="wrap")
    @classmethod
    def _know_all(cls, data: object, validate: ModelWrapValidatorHandler["Exact"]) -> "Exact":
        made = validate(data)
        if isinstance(data, Mapping):
            for name in data.keys() - _fields_of(cls):
                if data[name] is not None:
                    raise ValueError(f"{name}: {cls.__name__} has no such field in this version; upgrade it")
        return made


@cache
def _fields_of(model: type[Contract]) -> frozenset[str]:
    """Asked for every operation of a table, which has up to ten thousand; pydantic looks it up anew each time."""
    return frozenset(model.model_fields)


class Page(Contract, Generic[Item]):
    """A part of a list, oldest first; `next` is the `after` of the following page, None on the last page."""

    items: tuple[Item, ...]
    next: str | None


class Problem(BaseModel):
    """An RFC 9457 problem document: what was wrong, which field, which value, and the way out."""

    model_config = ConfigDict(extra="allow")

    type: str = "about:blank"
    title: str
    status: int
    detail: str
