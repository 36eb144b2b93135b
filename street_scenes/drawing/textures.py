"""The surfaces' textures, one atlas with its smaller levels, so that far surfaces do not flicker.

A texel holds two numbers: `mix` (how much of a material's second colour: mortar, window panes, clouds) and `tone`
(lighter or darker). Classes share textures on purpose: brick is a building, a wall or a garage by its surroundings.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

SIDE = 256
LEVELS = 9

Texels = NDArray[np.float64]
Texture = tuple[Texels, Texels]
"""mix and tone, each (SIDE, SIDE) in 0..1."""


class Atlas(NamedTuple):
    """`texels[start[level] + texture·side² + y·side + x]` with side = SIDE >> level; mix·256 + tone as uint16."""

    texels: NDArray[np.uint16]
    start: NDArray[np.int32]


class Windows(NamedTuple):
    """A tile of rows × columns windows; panes reach from `low` to `high` (y, x) of their cell, `bars` split them."""

    rows: int
    columns: int
    low: tuple[float, float]
    high: tuple[float, float]
    bars: int


WINDOWS = {
    "windows_punched": Windows(3, 4, (0.28, 0.28), (0.82, 0.72), 2),
    "windows_tall": Windows(3, 5, (0.16, 0.32), (0.86, 0.68), 1),
    "windows_wide": Windows(4, 3, (0.35, 0.12), (0.80, 0.88), 3),
    "windows_bands": Windows(4, 2, (0.40, -0.1), (0.85, 1.1), 6),
    "windows_glass": Windows(4, 6, (0.04, 0.02), (0.98, 0.98), 1),
}


def _noise(rng: Generator, slope: float, stretch: float = 1) -> Texels:
    """Periodic noise, its power spectrum falling with `slope`; mean 0.5, most in 0..1; `stretch` < 1: upright grain."""
    frequency = np.fft.fftfreq(SIDE) * SIDE
    radius = np.hypot(frequency[:, None] * stretch, frequency[None, :])
    radius[0, 0] = np.inf
    values = np.fft.ifft2(np.fft.fft2(rng.standard_normal((SIDE, SIDE))) / radius**slope).real
    noise: Texels = np.clip(0.5 + values / values.std() / 4, 0, 1)
    return noise


def _cells(rows: int, columns: int, bond: bool = False) -> tuple[Texels, Texels, NDArray[np.int64]]:
    """Position 0..1 inside a cell (y, x) and the number of the cell; `bond` shifts every other row by half a cell."""
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    row = np.floor(y * rows)
    x = x * columns + (0.5 * (row % 2) if bond else 0)
    return y * rows % 1, x % 1, (row * columns + np.floor(x) % columns).astype(np.int64)


def _rough(rng: Generator, *layers: tuple[float, ...]) -> Texture:
    """Tone is 0.5 and noises around it, each (weight, slope[, stretch]); no mix."""
    tone = np.full((SIDE, SIDE), 0.5)
    for weight, *shape in layers:
        tone += weight * (_noise(rng, *shape) - 0.5)
    return np.zeros_like(tone), tone


def _patches(rng: Generator, slope: float, gain: float, threshold: float, *layers: tuple[float, ...]) -> Texture:
    """Patches of the second colour where a noise is over `threshold`, with edges as sharp as `gain`."""
    return np.clip((_noise(rng, slope) - threshold) * gain, 0, 1), _rough(rng, *layers)[1]


def _blocks(
    rng: Generator, rows: int, columns: int, joints: tuple[float, float], *, bond: bool = True, stretch: float = 1
) -> Texture:
    """Bricks, slabs, planks, panes: each of its own tone, with `joints` (y, x) as parts of a block."""
    y, x, cell = _cells(rows, columns, bond)
    mix = (y < joints[0]) | (x < joints[1])
    return mix.astype(np.float64), 0.65 * rng.random(rows * columns)[cell] + 0.35 * _noise(rng, 0.6, stretch)


def _asphalt(rng: Generator) -> Texture:
    mix, tone = _rough(rng, (0.5, 0.1), (0.5, 1.4))
    cracks = np.abs(_noise(rng, 1.5) - 0.5) < 0.006
    return mix, np.where(cracks, tone * 0.5, tone)


def _foliage(rng: Generator) -> Texture:
    clumps = _noise(rng, 1.1)
    return np.clip((0.42 - clumps) * 5, 0, 1), 0.55 * _noise(rng, 0.7) + 0.45 * clumps


def _windows(rng: Generator, windows: Windows) -> Texture:
    """Panes with curtains in a lighter frame, under a ledge."""
    rows, columns, low, high, bars = windows
    y, x, cell = _cells(rows, columns)

    def inside(frame: float) -> NDArray[np.bool_]:
        in_height = (y > low[0] + frame) & (y < high[0] - frame)
        return in_height & (x > low[1] + frame) & (x < high[1] - frame)

    pane = inside(0.03) & ((bars == 1) | ((x - low[1]) / (high[1] - low[1]) * bars % 1 > 0.06))
    curtains = rng.random((rows * columns, 4))[cell, (y * 4).astype(np.int64) % 4]
    tone = np.where(inside(0), 0.85, _rough(rng, (0.1, 1.0))[1])
    tone = np.where(pane, 0.15 + 0.7 * rng.random(rows * columns)[cell] * (0.6 + 0.4 * curtains), tone)
    ledge = (y > low[0] - 0.05) & (y <= low[0]) & (x > low[1] - 0.04) & (x < high[1] + 0.04)
    return np.where(pane, 0.75 + 0.25 * rng.random(rows * columns)[cell], 0), np.where(ledge, 0.95, tone)


_MAKERS: dict[str, Callable[[Generator], Texture]] = {
    "plain": lambda rng: _rough(rng, (0.1, 1.0)),
    "asphalt": _asphalt,
    "concrete": lambda rng: _rough(rng, (0.3, 0.2), (0.7, 1.6)),
    "plaster": lambda rng: _rough(rng, (0.6, 1.3, 0.3), (0.4, 0.4)),
    "cloth": lambda rng: _rough(rng, (1.0, 1.0)),
    "slabs": lambda rng: _blocks(rng, 8, 8, (0.05, 0.05), bond=False),
    "cobbles": lambda rng: _blocks(rng, 24, 24, (0.14, 0.14)),
    "brick": lambda rng: _blocks(rng, 24, 8, (0.12, 0.04)),
    "stone": lambda rng: _blocks(rng, 8, 5, (0.05, 0.03)),
    "tiles": lambda rng: _blocks(rng, 12, 12, (0.12, 0.05)),
    "planks": lambda rng: _blocks(rng, 1, 8, (0, 0.07), stretch=0.12),
    "panes": lambda rng: _blocks(rng, 1, 4, (0, 0.08)),
    "ribs": lambda rng: _blocks(rng, 1, 12, (0, 0.3), stretch=0.12),
    "grass": lambda rng: _patches(rng, 1.6, 3, 0.4, (0.6, 0.2), (0.4, 1.0)),
    "foliage": _foliage,
    "clouds": lambda rng: _patches(rng, 1.5, 3.2, 0.47, (0.2, 1.2)),
    "poster": lambda rng: _patches(rng, 1.8, 99, 0.52, (0.5, 1.2)),
    "shop": partial(_windows, windows=Windows(1, 3, (0.12, 0.06), (0.78, 0.94), 2)),
    **{name: partial(_windows, windows=windows) for name, windows in WINDOWS.items()},
}

NUMBER = {name: number for number, name in enumerate(_MAKERS)}
"""Texture name to its place in the atlas."""


@lru_cache(maxsize=1)
def atlas() -> Atlas:
    """The textures, always the same, made once in a process (about a third of a second)."""
    pairs = [make(np.random.default_rng(number)) for number, make in enumerate(_MAKERS.values())]
    stack = np.stack([np.stack(pair) for pair in pairs], axis=1)
    levels = []
    for level in range(LEVELS):
        if level:
            side = SIDE >> level
            stack = stack.reshape(*stack.shape[:2], side, 2, side, 2).mean(axis=(3, 5))
        mix, tone = np.clip(np.rint(stack * 255), 0, 255).astype(np.uint16)
        levels.append((mix << 8 | tone).reshape(-1))
    start = np.cumsum([0, *map(len, levels[:-1])], dtype=np.int32)
    return Atlas(np.concatenate(levels), start)
