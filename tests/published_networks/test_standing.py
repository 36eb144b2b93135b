"""Published figures beside a device's rows."""

import uuid6

from latency_tables.contract import Latency, OperationSpec, Quality, TableRow
from published_networks.convention import Convention
from published_networks.facts import ENTRIES, QUOTED
from published_networks.plugin import operation
from published_networks.standing import here, key_of, keyed, markdown, standings


def row(spec: OperationSpec, latency_us: float, *, noisy: bool = False) -> TableRow:
    return TableRow(
        operation=spec,
        latency=Latency.of([latency_us] * 12),
        quality=Quality(converged=True, throttled=False, noisy=noisy),
        measurement_id=uuid6.uuid7(),
    )


def test_an_entry_takes_the_row_of_its_size_classes_and_convention() -> None:
    other = Convention(upsampling=False)
    rows = [
        row(operation("stdc1-seg", 512, 1024), 40_000),
        row(operation("stdc1-seg", 768, 1536), 100_000, noisy=True),
        row(operation("stdc1-seg", 720, 960, 11), 50_000),
        row(operation("stdc1-seg", 512, 1024, convention=other), 35_000),
    ]
    measured = {item.entry.title: item for item in standings(keyed(rows)) if item.fps}
    assert {title: item.fps for title, item in measured.items()} == {
        "STDC1-Seg50": 25.0,
        "STDC1-Seg75": 10.0,
        "STDC1-Seg": 20.0,
    }
    assert [here(measured[title]) for title in ("STDC1-Seg50", "STDC1-Seg75")] == ["25.0", "10.0 (doubtful)"]
    other_shape = OperationSpec.model_validate({**rows[0].operation.model_dump(), "input_shapes": ((3,),)})
    assert keyed([row(other_shape, 1.0)]) == {}, "anybody may post such a job"
    (only,) = (item for item in standings(keyed(rows, other)) if item.fps)
    assert only.latency_us == 35_000


def test_at_another_size_the_table_says_so() -> None:
    (entry,) = (entry for entry in ENTRIES if entry.title == "PIDNet-S" and entry.data == "Cityscapes")
    assert key_of(entry, (256, 512)) == ("pidnet-s", 256, 512, 19)
    rows = keyed([row(operation("pidnet-s", 256, 512), 20_000)])
    (item,) = standings(rows, (256, 512), [entry])
    assert here(item) == "50.0 at 256×512"
    assert standings(rows, None, [entry])[0].fps is None


def test_the_tables_have_every_row_of_tables_iv_and_v_once_and_the_devices_column() -> None:
    rows = keyed([row(operation("icnet", 1024, 2048), 1_000_000)])
    text = markdown(standings(rows), "My CPU")
    lines = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")]
    assert {len(cells) for cells in lines} == {7}
    assert len(lines) == len(ENTRIES) + len(QUOTED) + 4, "two headings, two rules"
    (icnet,) = (cells for cells in lines if cells[0] == "| ICNet" and cells[1] == "1024×2048")
    assert icnet[-1] == "1.00 |"
    assert "deployed heads only, logits at the input's size" in text
