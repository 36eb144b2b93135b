"""Which network is the anchor: the space's own, the one that is known, or the middle one of the job."""

from types import SimpleNamespace

import pytest

from latency_tables.contract import NetworkSpec
from profiler_agent.errors import JobFailed
from profiler_agent.measuring import anchor
from profiler_agent.measuring.anchor import anchor_for, kind_of
from tests.support import toy_space
from tests.support.agents import profile


def network(convolutions: int, side: int = 16) -> NetworkSpec:
    counts = {toy_space.operation("conv", side): convolutions}
    return NetworkSpec.of(toy_space.name, toy_space.digest, {}, (8, side, side), counts)


JOB = profile(networks=tuple(network(count) for count in (5, 1, 2, 9, 3)))


@pytest.fixture
def space(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    space = SimpleNamespace()
    monkeypatch.setattr(anchor, "load_space", lambda *_: space)
    return space


def test_a_job_of_operations_has_none(space: SimpleNamespace) -> None:
    del space
    assert anchor_for(profile(toy_space.operation("conv")), {}) is None


def test_the_middle_network_of_the_first_job_stays_the_anchor_of_its_kind(space: SimpleNamespace) -> None:
    del space
    first = anchor_for(JOB, {})
    assert first == network(3)
    later = profile(networks=(network(7), network(8)))
    assert anchor_for(later, {kind_of(first): first}) == network(3)
    assert anchor_for(profile(networks=(network(7, side=8),)), {kind_of(first): first}) == network(7, side=8)


def test_a_space_names_its_own(space: SimpleNamespace) -> None:
    space.anchor = lambda like: network(4, side=like.input_shape[-1])
    assert anchor_for(JOB, {kind_of(network(3)): network(3)}) == network(4)


@pytest.mark.parametrize(
    ("named", "reason"),
    [
        (lambda _: network(4, side=8), r"inputs \(8, 8, 8\).*for \(8, 16, 16\)"),
        (lambda _: None, "anchor of space 'toy': ValidationError"),
        (lambda like: like.genotype["width"], "anchor of space 'toy': TypeError"),
    ],
)
def test_a_space_whose_anchor_is_none_is_told(space: SimpleNamespace, named: object, reason: str) -> None:
    space.anchor = named
    with pytest.raises(JobFailed, match=reason):
        anchor_for(JOB, {})
