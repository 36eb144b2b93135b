"""Pictures are written, and show what they were given."""

import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib import rcParams
from PIL import Image

from lgcnet_search.plots import (
    LARGE,
    LIGHT,
    Prediction,
    Result,
    accuracy_against_latency,
    fusion_cell,
    heatmap_cells,
    kind_of,
    latency_heatmap,
    predicted_against_measured,
    search_curves,
    searched_cells,
    short_name,
)
from lgcnet_search.space.genotype import random_genotype
from lgcnet_search.space.space import CELL_CANDIDATES, FUSION_CANDIDATES, UP_CANDIDATES, Space
from tests.support.tiny_spaces import make_table

CHOICES = random_genotype(Space(), seed=1).choices


@pytest.fixture(autouse=True)
def _text_in_svg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(rcParams, "svg.fonttype", "none")


def texts(path: Path) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", path.read_text())


def is_drawn(path: Path) -> bool:
    pixels = np.asarray(Image.open(path).convert("L"))
    return bool(min(pixels.shape) > 200 and (pixels < 128).any())


def test_every_cell_edge_is_drawn_with_its_operation(tmp_path: Path) -> None:
    path = searched_cells(CHOICES, tmp_path / "cells.svg", "Searched")
    edges = {name: candidate for name, candidate in CHOICES.items() if name.startswith("cell")}
    assert len(edges) == 70
    assert edges.keys() <= set(re.findall(r'id="([^"]+)"', path.read_text()))
    words = texts(path)
    for candidate in CELL_CANDIDATES:
        assert words.count(short_name(candidate)) == list(edges.values()).count(candidate)
    assert "Searched" in words


def test_the_fusion_cell_has_nine_nodes_and_thirteen_edges(tmp_path: Path) -> None:
    path = fusion_cell(CHOICES, tmp_path / "fusion.svg")
    ids = re.findall(r'id="(fusion\.[^"]+)"', path.read_text())
    assert set(ids) == {name for name in CHOICES if name.startswith("fusion.")}
    assert len(ids) == 13
    assert {f"{branch} {part}" for branch in "lmh" for part in ("in", "mid", "final")} <= set(texts(path))


def test_light_operations_are_dashed_and_large_dilations_green() -> None:
    kinds = {name: kind_of(name) for name in (*CELL_CANDIDATES, *FUSION_CANDIDATES, *UP_CANDIDATES)}
    assert {name for name, kind in kinds.items() if kind.light} == {"zero", "skip", "max_pool_3x3"}
    assert {name for name, kind in kinds.items() if kind is LARGE} == {f"dil_conv_3x3_d{d}" for d in (4, 8, 12)}
    assert kinds["skip"] is LIGHT
    assert len({short_name(name) for name in kinds}) == len(kinds)
    with pytest.raises(KeyError):
        kind_of("conv_9x9")


def test_pictures_are_not_empty(tmp_path: Path) -> None:
    assert is_drawn(searched_cells(CHOICES, tmp_path / "deeper" / "cells.png"))
    assert is_drawn(fusion_cell(CHOICES, tmp_path / "fusion.png"))
    falling = np.linspace(3, 1, 120).tolist()
    curves = {"cross_entropy": falling, "latency_us": falling, "temperature": falling, "entropy": falling}
    assert is_drawn(search_curves(tmp_path / "curves.png", **curves))


def test_a_search_of_one_step_has_curves(tmp_path: Path) -> None:
    path = search_curves(tmp_path / "one.png", cross_entropy=[1], latency_us=[1e3], temperature=[1], entropy=[2])
    assert is_drawn(path)


def test_predictions_are_named_beside_their_bands(tmp_path: Path) -> None:
    points = [Prediction(f"net {i}", 1e5 * i, 1.04e5 * i, 1.0e5 * i, 1.08e5 * i) for i in range(1, 5)]
    words = texts(predicted_against_measured(points, tmp_path / "predicted.svg"))
    assert {"net 1", "net 4", "±5%", "±10%", "measured, ms", "predicted, ms", "error, %"} <= set(words)
    many = [Prediction(f"op {i}", 1.5**i, 1.5**i, 1.5**i, 1.5**i) for i in range(1, 30)]
    assert "op 3" not in texts(predicted_against_measured(many, tmp_path / "many.svg"))


def test_names_of_crowded_points_do_not_overlap(tmp_path: Path) -> None:
    points = [Result(f"network {i}", 10 + 0.1 * i, 70 + 0.1 * (i % 2)) for i in range(6)]
    far = [Result("slow", 30, 75), Result("fast", 2, 60)]
    picture = accuracy_against_latency([*points, *far], tmp_path / "accuracy.svg").read_text()
    found = re.findall(r'<text[^>]* x="([\d.]+)" y="([\d.]+)"[^>]*>network \d</text>', picture)
    places = [(float(x), float(y)) for x, y in found]
    assert len(places) == 6
    for i, (x, y) in enumerate(places):
        # In points: a name is about 44 wide and 8 high.
        assert all(abs(x - other_x) > 40 or abs(y - other_y) > 7 for other_x, other_y in places[:i])


def test_the_heat_map_shows_every_row_of_a_table(tmp_path: Path) -> None:
    space = Space()
    table = make_table(space.operations)
    cells = heatmap_cells(table)
    assert len(cells) == len(table.rows)
    assert sorted(cells.values()) == sorted(row.latency.median_us for row in table.rows)
    words = texts(latency_heatmap(cells, tmp_path / "heat.svg"))
    assert {"dil_conv_3x3 dilation 8", "64×97×193", "conv_3x3 /2"} <= set(words)


def test_operations_with_like_labels_are_two_cells() -> None:
    operation = next(operation for operation in Space().operations if operation.name == "concat")
    wider = operation.model_copy(update={"input_shapes": (*operation.input_shapes, operation.input_shapes[0])})
    assert len(heatmap_cells(make_table((operation, wider)))) == 2
