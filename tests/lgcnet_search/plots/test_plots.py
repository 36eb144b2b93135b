"""Pictures are written, and show what they were given."""

import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib import rcParams
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from lgcnet_search.plots.charts import (
    AccuracyPoint,
    HeatCell,
    PredictedPoint,
    accuracy_against_latency,
    heatmap_cells,
    latency_heatmap,
    predicted_against_measured,
    search_curves,
)
from lgcnet_search.plots.figures import arrange
from lgcnet_search.plots.networks import fusion_cell, searched_cells
from lgcnet_search.search.findings import constant_cells
from lgcnet_search.search.report import draw_genotype
from lgcnet_search.space.candidates import CANDIDATES, CONVOLUTION, LARGE, Candidate, candidates_of
from lgcnet_search.space.genotype import Genotype, random_genotype
from lgcnet_search.space.network import DerivedNetwork
from lgcnet_search.space.operations import OPERATIONS, Convolution
from lgcnet_search.space.space import Space
from tests.support.tiny_spaces import make_table, without_edges

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
    for name in candidates_of("cell"):
        assert words.count(CANDIDATES[name].label) == list(edges.values()).count(name)
    assert "Searched" in words


def test_the_fusion_cell_has_nine_nodes_and_thirteen_edges(tmp_path: Path) -> None:
    path = fusion_cell(CHOICES, tmp_path / "fusion.svg")
    ids = re.findall(r'id="(fusion\.[^"]+)"', path.read_text())
    assert set(ids) == {name for name in CHOICES if name.startswith("fusion.")}
    assert len(ids) == 13
    assert {f"{branch} {part}" for branch in "lmh" for part in ("in", "mid", "final")} <= set(texts(path))


def test_light_operations_are_dashed_and_large_dilations_green() -> None:
    kinds = {name: candidate.kind for name, candidate in CANDIDATES.items()}
    assert {name for name, kind in kinds.items() if kind.light} == {"zero", "skip", "max_pool_3x3"}
    assert {name for name, kind in kinds.items() if kind is LARGE} == {f"dil_conv_3x3_d{d}" for d in (4, 8, 12)}
    assert len({(kind.name, kind.color) for kind in kinds.values() if kind.light}) == 3, "told apart in the legend"
    assert len({candidate.label for candidate in CANDIDATES.values()}) == len(CANDIDATES)


def test_a_new_candidate_is_an_entry_and_a_builder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OPERATIONS, "conv_5x5", partial(Convolution, kernel=5))
    monkeypatch.setitem(CANDIDATES, "conv_5x5", Candidate(("cell", "fusion"), "conv_5x5", CONVOLUTION, "conv 5"))
    space = Space(height=65, width=97, channels=1)
    heavy = [edge.name for edge in (*space.cell_edges, *space.fusion_edges)]
    genotype = Genotype.of(space, {**random_genotype(space, 0).choices, **dict.fromkeys(heavy, "conv_5x5")})
    assert "conv_5x5" in {operation.name for operation in space.operations}
    assert DerivedNetwork(genotype).eval()(torch.zeros(1, 3, 65, 97)).shape == (1, 19, 65, 97)
    for path in draw_genotype(genotype, tmp_path, suffix="svg"):
        assert "conv 5" in texts(path)


def test_a_cell_that_does_not_see_the_image_and_edges_that_are_undecided_are_marked(tmp_path: Path) -> None:
    genotype = without_edges(random_genotype(Space(), seed=1), 4)
    assert 4 in constant_cells(genotype)
    assert 3 not in constant_cells(genotype)
    undecided = ["cell0.i1-x1", "cell2.x1-x2", "fusion.l_in-l_mid"]
    cells, fusion = draw_genotype(genotype, tmp_path, "Searched", "svg", undecided=undecided)
    assert {"cell 3", "cell 4: constant output"} <= set(texts(cells))
    assert sum(word.endswith(" ?") for word in texts(cells)) == 2
    assert sum(word.endswith(" ?") for word in texts(fusion)) == 1
    assert any("different candidates a cell" in word for word in texts(cells))


def test_the_picture_of_a_search_has_what_it_is_compared_with(tmp_path: Path) -> None:
    course = {name: [2.0, 1.0] for name in ("cross_entropy", "latency_us", "temperature", "entropy")}
    levels = {"predicted": 8000.0, "measured": 8500.0}
    words = texts(
        search_curves(tmp_path / "search.svg", **course, title="β 0.005", levels_us=levels, held=1, most_entropy=2.0)
    )
    assert {"predicted 8 ms", "measured 8.5 ms", "α held", "β 0.005"} <= set(words)
    assert "0.5" not in words[: words.index("cross-entropy")], "steps are whole"


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
    points = [PredictedPoint(f"net {i}", 1e5 * i, 1.04e5 * i, 1.0e5 * i, 1.08e5 * i) for i in range(1, 5)]
    words = texts(predicted_against_measured(points, tmp_path / "predicted.svg"))
    assert {"net 1", "net 4", "±5%", "±10%", "measured, ms", "predicted, ms", "error, %"} <= set(words)
    many = [PredictedPoint(f"op {i}", 1.5**i, 1.5**i, 1.5**i, 1.5**i) for i in range(1, 30)]
    assert "op 3" not in texts(predicted_against_measured(many, tmp_path / "many.svg"))


@pytest.mark.parametrize("title", ["short", "a line of a title that is longer than the picture is wide " * 2])
def test_a_long_title_is_not_cut(title: str) -> None:
    figure = Figure(figsize=(6.6, 4), dpi=110)
    figure.subplots()
    arrange(figure, title)
    drawn = figure.texts[0].get_window_extent(FigureCanvasAgg(figure).get_renderer())  # type: ignore[no-untyped-call]
    assert drawn.x0 >= 0
    assert drawn.x1 <= figure.bbox.width


def test_names_of_crowded_points_do_not_overlap(tmp_path: Path) -> None:
    points = [AccuracyPoint(f"network {i}", 10 + 0.1 * i, 70 + 0.1 * (i % 2)) for i in range(6)]
    far = [AccuracyPoint("slow", 30, 75), AccuracyPoint("fast", 2, 60)]
    picture = accuracy_against_latency([*points, *far], tmp_path / "accuracy.svg").read_text()
    positions = re.findall(r'<text[^>]* x="([\d.]+)" y="([\d.]+)"[^>]*>network \d</text>', picture)
    centres = [(float(x), float(y)) for x, y in positions]
    assert len(centres) == 6
    for i, (x, y) in enumerate(centres):
        # In points: a name is about 44 wide and 8 high.
        assert all(abs(x - other_x) > 40 or abs(y - other_y) > 7 for other_x, other_y in centres[:i])


def test_the_heat_map_shows_every_row_of_a_table(tmp_path: Path) -> None:
    space = Space()
    table = make_table(space.operations)
    cells = heatmap_cells(table)
    assert len(cells) == len(table.rows)
    assert sorted(cell.latency_us for cell in cells.values()) == sorted(row.latency.median_us for row in table.rows)
    assert not any(cell.doubtful for cell in cells.values())
    words = texts(latency_heatmap(cells, tmp_path / "heat.svg"))
    assert {"dil_conv_3x3 dilation 8", "64×97×193", "conv_3x3 /2", "µs where no unit stands"} <= set(words)


def test_the_heat_map_shows_what_sums_are_of() -> None:
    table = make_table(Space().operations[:2])
    quiet = table.model_copy(
        update={"rows": tuple(row.model_copy(update={"normalized_us": 5.0}) for row in table.rows)}
    )
    assert {cell.latency_us for cell in heatmap_cells(quiet).values()} == {5.0}


def test_the_heat_map_writes_milliseconds_and_hatches_what_is_doubtful(tmp_path: Path) -> None:
    cells = {("conv", "8×8"): HeatCell(5004.0), ("pool", "8×8"): HeatCell(31.5, doubtful=True)}
    picture = latency_heatmap(cells, tmp_path / "heat.svg")
    assert {"5.00 ms", "31.5", "µs where no unit stands; hatched: doubtful"} <= set(texts(picture))
    assert picture.read_text().count("<pattern") == 1


def test_operations_with_like_labels_are_two_cells() -> None:
    operation = next(operation for operation in Space().operations if operation.name == "concat")
    wider = operation.model_copy(update={"input_shapes": (*operation.input_shapes, operation.input_shapes[0])})
    assert len(heatmap_cells(make_table((operation, wider)))) == 2


@pytest.mark.parametrize("backend", ["module://no_such_notebook.backend", "nothing"])
def test_a_notebooks_backend_is_no_matter(backend: str) -> None:
    program = "import lgcnet_search.plots.charts, os; print(os.environ['MPLBACKEND'])"
    settings = {**os.environ, "MPLBACKEND": backend}
    done = subprocess.run([sys.executable, "-c", program], env=settings, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == backend


def test_what_shares_a_kernel_is_boxed_and_explained(tmp_path: Path) -> None:
    explained = "boxed: in one kernel with others"
    fused = {next(name for name in CHOICES if name.startswith("cell1.")), "fusion.l_in-l_mid"} & CHOICES.keys()
    for path in draw_genotype(random_genotype(Space(), seed=1), tmp_path, suffix="svg", fused=fused):
        boxes = any(edge in fused for edge in re.findall(r'id="([^"]+)"', path.read_text()))
        assert (explained in texts(path)) == boxes
    for path in draw_genotype(random_genotype(Space(), seed=1), tmp_path, suffix="svg"):
        assert explained not in texts(path)


def test_the_title_of_a_tall_figure_lies_above_those_of_its_axes() -> None:
    figure = Figure(figsize=(6, 19))
    first = figure.subplots(6, 1)[0]
    first.set_title("truth")
    arrange(figure, "mIoU 48.3%")
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    (title,) = figure.texts
    assert title.get_window_extent(renderer).y0 > first.title.get_window_extent(renderer).y1
