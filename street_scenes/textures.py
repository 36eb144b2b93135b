"""The surfaces' textures, one atlas with its smaller levels, so that far surfaces do not flicker.

A texel holds two numbers: `mix` (how much of a material's second colour: mortar, window panes, clouds) and `tone`
(lighter or darker). Classes share textures on purpose: brick is a building, a wall or a garage by its surroundings.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SIDE = 256
LEVELS = 9

Texels = NDArray[np.float32]
Pair = tuple[Texels, Texels]
"""mix and tone, each (SIDE, SIDE) in 0..1."""


class Atlas(NamedTuple):
    """`texels[start[level] + texture·side² + y·side + x]` with side = SIDE >> level; mix·256 + tone as uint16."""

    texels: NDArray[np.uint16]
    start: NDArray[np.int64]


def _noise(rng: np.random.Generator, slope: float, stretch: tuple[float, float] = (1, 1)) -> Texels:
    """Periodic noise with a power spectrum falling with `slope`, mean 0.5, most of it in 0..1."""
    frequency = np.fft.fftfreq(SIDE) * SIDE
    radius = np.hypot(frequency[:, None] * stretch[0], frequency[None, :] * stretch[1])
    radius[0, 0] = np.inf
    spectrum = np.fft.fft2(rng.standard_normal((SIDE, SIDE))) / radius**slope
    values = np.real(np.fft.ifft2(spectrum))
    noise: Texels = np.clip(0.5 + values / values.std() / 4, 0, 1).astype(np.float32)
    return noise


def _grid(rows: int, columns: int, shifted: bool = False) -> tuple[Texels, Texels, NDArray[np.int64]]:
    """Position 0..1 inside a cell (y, x) and the number of the cell, for a tile of rows × columns cells."""
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    row = np.floor(y * rows)
    column_position = x * columns + (0.5 * (row % 2) if shifted else 0)
    cell = (row * columns + np.floor(column_position) % columns).astype(np.int64)
    return (y * rows % 1).astype(np.float32), (column_position % 1).astype(np.float32), cell


def _blocks(rng: np.random.Generator, rows: int, columns: int, joint: float, shifted: bool = True) -> Pair:
    y, x, cell = _grid(rows, columns, shifted)
    edge_y, edge_x = joint, joint * columns / rows
    mix = ((y < edge_y) | (x < edge_x)).astype(np.float32)
    tone = 0.65 * rng.random(rows * columns)[cell] + 0.35 * _noise(rng, 0.5)
    return mix, tone.astype(np.float32)


def _windows(
    rng: np.random.Generator, rows: int, columns: int, low: tuple[float, float], high: tuple[float, float], bars: int
) -> Pair:
    """Panes from `low` to `high` (y, x) of each cell, split by `bars`, in a lighter frame, under a shadow line."""
    y, x, cell = _grid(rows, columns)
    inside = (y > low[0]) & (y < high[0]) & (x > low[1]) & (x < high[1])
    frame = 0.03
    pane = (y > low[0] + frame) & (y < high[0] - frame) & (x > low[1] + frame) & (x < high[1] - frame)
    split = (x - low[1]) / (high[1] - low[1]) * bars % 1
    pane &= (split > 0.06) | (bars == 1)
    tone = 0.45 + 0.1 * _noise(rng, 1.0)
    tone[inside] = 0.85
    curtains = rng.random((rows * columns, 4))[cell, (y * 4).astype(np.int64) % 4]
    tone = np.where(pane, 0.15 + 0.7 * rng.random(rows * columns)[cell] * (0.6 + 0.4 * curtains), tone)
    tone = np.where((y > low[0] - 0.05) & (y <= low[0]) & (x > low[1] - 0.04) & (x < high[1] + 0.04), 0.95, tone)
    mix = np.where(pane, 0.75 + 0.25 * rng.random(rows * columns)[cell], 0)
    return mix.astype(np.float32), tone.astype(np.float32)


def _plain(rng: np.random.Generator) -> Pair:
    return np.zeros((SIDE, SIDE), np.float32), 0.45 + 0.1 * _noise(rng, 1.0)


def _asphalt(rng: np.random.Generator) -> Pair:
    tone = 0.5 * _noise(rng, 0.1) + 0.5 * _noise(rng, 1.4)
    cracks = np.abs(_noise(rng, 1.5) - 0.5) < 0.006
    return np.zeros_like(tone), np.where(cracks, tone * 0.5, tone).astype(np.float32)


def _concrete(rng: np.random.Generator) -> Pair:
    tone = 0.3 * _noise(rng, 0.2) + 0.7 * _noise(rng, 1.6)
    return np.zeros_like(tone), tone


def _plaster(rng: np.random.Generator) -> Pair:
    return np.zeros((SIDE, SIDE), np.float32), 0.6 * _noise(rng, 1.3, (0.3, 1)) + 0.4 * _noise(rng, 0.4)


def _grass(rng: np.random.Generator) -> Pair:
    patches = np.clip(_noise(rng, 1.6) * 3 - 1.2, 0, 1)
    return patches, 0.6 * _noise(rng, 0.2) + 0.4 * _noise(rng, 1.0)


def _foliage(rng: np.random.Generator) -> Pair:
    clumps = _noise(rng, 1.1)
    gaps = np.clip((0.42 - clumps) * 5, 0, 1)
    return gaps, 0.55 * _noise(rng, 0.7) + 0.45 * clumps


def _planks(rng: np.random.Generator) -> Pair:
    _, x, cell = _grid(1, 8)
    tone = 0.5 * rng.random(8)[cell] + 0.5 * _noise(rng, 0.9, (0.12, 1))
    return (x < 0.07).astype(np.float32), tone.astype(np.float32)


def _ribs(rng: np.random.Generator) -> Pair:
    _, x, _ = _grid(1, 12)
    return np.zeros((SIDE, SIDE), np.float32), (0.5 + 0.35 * np.sin(2 * np.pi * x) + 0.15 * _noise(rng, 1.0)).astype(
        np.float32
    )


def _tiles(rng: np.random.Generator) -> Pair:
    y, x, cell = _grid(12, 12, True)
    tone = 0.3 + 0.4 * y + 0.3 * rng.random(144)[cell]
    return ((y < 0.12) | (x < 0.05)).astype(np.float32), tone.astype(np.float32)


def _clouds(rng: np.random.Generator) -> Pair:
    return np.clip(_noise(rng, 1.5) * 3.2 - 1.5, 0, 1), 0.5 + 0.2 * (_noise(rng, 1.2) - 0.5)


def _panes(rng: np.random.Generator) -> Pair:
    _, x, cell = _grid(1, 4)
    tone = 0.25 + 0.5 * rng.random(4)[cell] + 0.25 * (_noise(rng, 1.5) - 0.5)
    return (x < 0.08).astype(np.float32), tone.astype(np.float32)


def _cloth(rng: np.random.Generator) -> Pair:
    return np.zeros((SIDE, SIDE), np.float32), _noise(rng, 1.0)


def _poster(rng: np.random.Generator) -> Pair:
    shapes = (_noise(rng, 1.8) > 0.52).astype(np.float32)
    return shapes, 0.5 + 0.5 * (_noise(rng, 1.2) - 0.5)


_MAKERS: dict[str, Callable[[np.random.Generator], Pair]] = {
    "plain": _plain,
    "asphalt": _asphalt,
    "concrete": _concrete,
    "slabs": lambda rng: _blocks(rng, 8, 8, 0.05, shifted=False),
    "cobbles": lambda rng: _blocks(rng, 24, 24, 0.14),
    "brick": lambda rng: _blocks(rng, 24, 8, 0.12),
    "stone": lambda rng: _blocks(rng, 8, 5, 0.05),
    "plaster": _plaster,
    "grass": _grass,
    "foliage": _foliage,
    "planks": _planks,
    "ribs": _ribs,
    "tiles": _tiles,
    "clouds": _clouds,
    "panes": _panes,
    "cloth": _cloth,
    "poster": _poster,
    "windows_punched": lambda rng: _windows(rng, 3, 4, (0.28, 0.28), (0.82, 0.72), 2),
    "windows_tall": lambda rng: _windows(rng, 3, 5, (0.16, 0.32), (0.86, 0.68), 1),
    "windows_wide": lambda rng: _windows(rng, 4, 3, (0.35, 0.12), (0.80, 0.88), 3),
    "windows_bands": lambda rng: _windows(rng, 4, 2, (0.40, -0.1), (0.85, 1.1), 6),
    "windows_glass": lambda rng: _windows(rng, 4, 6, (0.04, 0.02), (0.98, 0.98), 1),
    "shop": lambda rng: _windows(rng, 1, 3, (0.12, 0.06), (0.78, 0.94), 2),
}

NUMBER = {name: number for number, name in enumerate(_MAKERS)}
"""Texture name to its place in the atlas."""


@lru_cache(maxsize=1)
def atlas() -> Atlas:
    """The textures, always the same, made once in a process (about a third of a second)."""
    pairs = [make(np.random.default_rng(number)) for number, make in enumerate(_MAKERS.values())]
    levels, start, at = [], [], 0
    stack = np.stack([np.stack(pair) for pair in pairs], axis=1)
    for _ in range(LEVELS):
        values = np.clip(np.rint(stack * 255), 0, 255).astype(np.uint16)
        levels.append((values[0] << 8 | values[1]).reshape(-1))
        start.append(at)
        at += levels[-1].size
        side = stack.shape[-1] // 2
        if side:
            stack = stack.reshape(*stack.shape[:2], side, 2, side, 2).mean(axis=(3, 5))
    return Atlas(np.concatenate(levels), np.array(start, dtype=np.int64))
