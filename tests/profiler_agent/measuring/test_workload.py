"""Search spaces: found as installed distributions, refused with what to install."""

import pytest
import torch

from latency_tables.contract import NetworkSpec, Runtime
from profiler_agent.errors import JobFailed
from profiler_agent.measuring.workload import installed_spaces, load_space, workloads_of
from tests.support import toy_space
from tests.support.agents import profile

pytestmark = pytest.mark.usefixtures("toy_installed")


def test_an_installed_space_is_found_and_builds_what_the_spec_says() -> None:
    assert "toy" in installed_spaces()
    specs = [toy_space.operation("conv"), toy_space.operation("pool", 9)]
    request = profile(*specs, runtime=Runtime(batch_size=3, threads=1))
    workloads = workloads_of(request, request.keys)
    assert [workload.key for workload in workloads] == [spec.digest for spec in specs]
    assert [workload.input_shapes for workload in workloads] == [((3, 8, 16, 16),), ((3, 8, 9, 9),)]
    assert isinstance(workloads[0].build(), torch.nn.Conv2d)
    assert isinstance(workloads[1].build(), torch.nn.MaxPool2d)


def test_only_the_keys_that_remain_are_built() -> None:
    specs = [toy_space.operation("conv"), toy_space.operation("pool")]
    request = profile(*specs)
    assert [workload.key for workload in workloads_of(request, [specs[1].digest])] == [specs[1].digest]


def test_a_network_is_one_workload() -> None:
    spec = NetworkSpec.of(toy_space.name, toy_space.digest, {}, (8, 16, 16), {toy_space.operation("conv"): 2})
    request = profile(networks=(spec,))
    (workload,) = workloads_of(request, request.keys)
    assert (workload.key, workload.input_shapes) == (spec.digest, ((1, 8, 16, 16),))
    assert workload.build()(torch.zeros(1, 8, 16, 16)).shape == (1, 8, 16, 16)


def test_a_space_that_is_not_installed_is_refused_with_the_way_to_install_it() -> None:
    with pytest.raises(JobFailed, match=r"'nowhere' is not installed.*toy.*pip install 'nowhere==2'"):
        load_space("nowhere", "0" * 64, "nowhere==2")


def test_another_definition_of_a_space_is_refused_with_both_digests() -> None:
    with pytest.raises(JobFailed, match=rf"digest 000000000000….*toy-space 1\.0.*{toy_space.digest[:12]}"):
        load_space("toy", "0" * 64, "toy-space==2.0")
