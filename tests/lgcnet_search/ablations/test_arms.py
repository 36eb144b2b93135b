"""Each ablation's arms against the paper's tables."""

from collections.abc import Callable

import pytest

from lgcnet_search.ablations.arms import ABLATIONS, Ablation, Arm
from lgcnet_search.search.guide import DIMENSION
from lgcnet_search.space.space import Space

FUSED = [(0, 5, 13), (0, 6, 13), (0, 7, 13), (0, 7, 10), (0, 7, 11), (0, 7, 12)]

# What each row sets, in the paper's order, and its mIoU and FPS as printed.
PRINTED: dict[str, tuple[Callable[[Arm], object], list[tuple[object, float, float]]]] = {
    "table-6": (
        lambda arm: "shared" if arm.shared_cells else arm.guide,
        [("shared", 68.6, 100.1), ("none", 67.1, 118.9), ("connected", 69.7, 112.8), ("edge-similarity", 73.0, 115.2)],
    ),
    "table-7": (
        lambda arm: (arm.drawn, arm.fps_floor),
        [((True, None), 69.8, 61.9), ((True, 100.0), 66.3, 107.6), ((False, None), 73.0, 115.2)],
    ),
    "table-8": (
        lambda arm: 0 if arm.guide == "none" else arm.guide_dimension,
        [
            (0, 67.1, 112.9),
            (16, 72.1, 111.6),
            (32, 72.2, 109.2),
            (64, 73.0, 115.2),
            (128, 72.5, 107.1),
            (256, 72.6, 116.3),
        ],
    ),
    "table-9": (lambda arm: arm.guide, [("operation-identity", 71.2, 106.4), ("edge-similarity", 73.0, 115.2)]),
    "table-10": (
        lambda arm: arm.aggregation,
        [
            ("none", 69.5, 124.1),
            ("aspp", 72.4, 108.4),
            ("ppm", 72.5, 114.1),
            ("mscell", 72.7, 112.7),
            ("dense", 73.0, 115.2),
        ],
    ),
    "table-11": (
        lambda arm: arm.fused,
        [
            (fused, miou, fps)
            for fused, miou, fps in zip(
                FUSED, (72.5, 71.8, 72.9, 72.2, 72.1, 72.4), (109.8, 113.4, 115.1, 115.2, 114.6, 112.8), strict=True
            )
        ],
    ),
}


@pytest.mark.parametrize("name", PRINTED)
def test_rows_are_the_papers(name: str) -> None:
    setting, rows = PRINTED[name]
    ablation = ABLATIONS[name]
    assert [(setting(arm), arm.paper.miou_percent, arm.paper.fps) for arm in ablation.arms] == rows
    plain = Arm("", "")
    for arm in ablation.arms:
        changed = {field for field in vars(plain) if getattr(arm, field) != getattr(plain, field)}
        assert len(changed - {"name", "label", "paper", "drawn", "shared_cells"}) <= 1, "one thing differs"
        assert arm.beta == 0.005


def test_repeats_are_the_papers() -> None:
    assert {name: ABLATIONS[name].repeats for name in ("table-6", "table-7", "table-8", "table-11")} == {
        "table-6": 5,
        "table-7": 10,
        "table-8": 5,
        "table-11": 3,
    }
    assert [arm.paper.parameters_m for arm in ABLATIONS["table-6"].arms] == [6.60, 4.18, 3.24, 2.09]


def test_the_sweep_of_figure_7_goes_from_0_0005_to_0_05() -> None:
    betas = [arm.beta for arm in ABLATIONS["figure-7"].arms]
    assert betas == sorted(betas)
    assert (betas[0], betas[-1]) == (0.0005, 0.05)
    assert 0.005 in betas
    assert all(arm.guide_dimension == DIMENSION for arm in ABLATIONS["figure-7"].arms)


@pytest.mark.parametrize("ablation", ABLATIONS.values(), ids=ABLATIONS)
def test_names_are_one_each_and_operations_cover_every_arm(ablation: Ablation) -> None:
    names = [arm.name for arm in ablation.arms]
    assert len(set(names)) == len(names)
    needed = set(ablation.operations(Space()))
    for arm in ablation.arms:
        assert needed.issuperset(arm.space(Space()).operations)
        assert arm.space(Space()).cells == arm.fused[-1] + 1
        assert arm.no_slower_than is None or arm.no_slower_than in names


def test_a_floor_is_for_the_table_that_has_one() -> None:
    floors = [arm.fps_floor for arm in ABLATIONS["table-7"].with_floor(2.5).arms]
    assert floors == [None, 2.5, None]
    with pytest.raises(ValueError, match="only table-7 does"):
        ABLATIONS["table-6"].with_floor(2.5)


def test_searchers_of_a_comparison_can_be_chosen() -> None:
    comparison = ABLATIONS["equal-latency"]
    assert [arm.name for arm in comparison.only(["evolution", "guided"]).arms] == ["guided", "evolution", "random"]
    with pytest.raises(ValueError, match="arm: random is none of guided, independent, evolution"):
        comparison.only(["guided", "random"])
    with pytest.raises(ValueError, match="only equal-latency"):
        ABLATIONS["table-6"].only(["gcn"])
