"""Folders of several targets."""

from pathlib import Path

from lgcnet_search.search.targets import targets
from lgcnet_search.space.latencies import Latencies
from tests.support.tiny_spaces import TINY, make_table


def test_devices_of_one_name_are_told_apart(tmp_path: Path) -> None:
    table = make_table(TINY.operations[:1])
    devices = [
        Latencies(table.model_copy(update={"device": table.device.model_copy(update={"uuid": uuid, "name": name})}))
        for uuid, name in (("GPU-1", "Titan Xp"), ("GPU-2", "TITAN Xp"), ("GPU-3", "A100"))
    ]
    names = [target.folder.name for target in targets(devices, [0.005], tmp_path)]
    assert names == ["titan-xp-GPU-1-beta0.005", "titan-xp-GPU-2-beta0.005", "a100-beta0.005"]
