"""What is asked of agents, refused before anything is measured."""

from types import SimpleNamespace
from typing import Any

import pytest

from lgcnet_search.jobs import AgentError, calibrate, find_device
from tests.support.tiny_spaces import TINY, make_table


def knowing(*uuids: str) -> Any:
    """A client whose server knows these devices, all of one name."""
    device = make_table(TINY.operations[:1]).device
    records = [SimpleNamespace(device=device.model_copy(update={"uuid": uuid})) for uuid in uuids]
    return SimpleNamespace(devices=lambda: records)


def test_one_of_several_devices_has_to_be_named() -> None:
    assert find_device(knowing("a")).uuid == find_device(knowing("a", "b"), "a").uuid == "a"
    with pytest.raises(AgentError, match=r"^several devices; name one with --device: test cpu \(a\); test cpu \(b\)$"):
        find_device(knowing("a", "b"))
    with pytest.raises(AgentError, match="device 'test cpu': several devices of this UUID or name"):
        find_device(knowing("a", "b"), "test cpu")
    with pytest.raises(AgentError, match="no device; start profiler-agent"):
        find_device(knowing())


@pytest.mark.parametrize("networks", [0, 2, 201, 256])
def test_a_calibration_of_too_few_or_too_many_networks_is_refused_at_once(networks: int) -> None:
    with pytest.raises(AgentError, match=f"networks: {networks} given, a calibration takes from 3 to 200"):
        calibrate(knowing("a"), TINY, make_table(TINY.operations), networks)
