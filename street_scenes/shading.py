"""From drawn surfaces to a photograph: texture, sun, haze, shadows, exposure, blur and noise."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from street_scenes.camera import Camera, Floats
from street_scenes.canvas import CONTACT, SHADOW, Color, Drawn, Surface
from street_scenes.textures import LEVELS, NUMBER, SIDE, atlas

# Bands of rows, so that a band's arrays stay in the cache.
BAND_PIXELS = 16 * 1024


DIM = 170.0
"""Blue of a haze, 0..255, below which it is dusk."""


class Light(NamedTuple):
    """The light of a scene and what the sensor makes of it; colours are factors for red, green, blue."""

    sun_direction: tuple[float, float, float]
    ambient: Color
    sun: Color
    haze: Color
    haze_per_m: float
    exposure: Color
    gamma: float
    blur: float
    noise: float

    @property
    def dim(self) -> bool:
        """Lamps and windows are lit."""
        return self.haze[2] < DIM


def photograph(drawn: Drawn, camera: Camera, light: Light, noise_offset: int) -> NDArray[np.uint8]:
    """RGB (H, W, 3)."""
    pixels = _shade(drawn, _Tables.of(drawn.surfaces, camera, light), light)
    picture = Image.fromarray(pixels).filter(ImageFilter.BoxBlur(light.blur)).point(_curve(light))
    return _with_noise(np.asarray(picture), light.noise, noise_offset)


class _Tables(NamedTuple):
    """A row per surface. u/w, v/w with u = `u`·(x, y, 1) … is the texture's place, `w` the inverse depth per metre."""

    u: NDArray[np.float32]
    v: NDArray[np.float32]
    w: NDArray[np.float32]
    color: NDArray[np.float32]
    blend: NDArray[np.float32]
    contrast: NDArray[np.float32]
    texture: NDArray[np.int64]
    ground: NDArray[np.float32]

    @classmethod
    def of(cls, surfaces: list[Surface], camera: Camera, light: Light) -> "_Tables":
        planes = np.array([surface.plane for surface in surfaces])
        materials = [surface.material for surface in surfaces]
        origin = camera.seen(planes[:, 0])
        a, b = planes[:, 1] @ camera.rotation.T, planes[:, 2] @ camera.rotation.T
        # A pixel's ray q meets the plane where q·z = origin + u·a + v·b: Cramer's rule.
        rows = np.stack([np.cross(b, origin), np.cross(origin, a), np.cross(a, b)])
        volume = np.einsum("ni,ni->n", a, rows[0])
        rows /= np.where(np.abs(volume) < 1e-6, 1e-6, volume)[:, None]
        tile = np.array([material.tile for material in materials])
        rows[0] /= tile[:, :1]
        rows[1] /= tile[:, 1:]
        center_x, center_y = camera.center
        rows[:, :, 2] += (rows[:, :, 0] * (0.5 - center_x) + rows[:, :, 1] * (0.5 - center_y)) / camera.focal
        rows[:, :, :2] /= camera.focal
        lit = _lit(planes, camera, light, np.array([material.glow for material in materials]))
        color = np.array([material.color for material in materials]) * lit
        second = np.array([material.second for material in materials]) * lit
        u, v, w = (np.ascontiguousarray(part.T, dtype=np.float32) for part in rows)
        return cls(
            u,
            v,
            w,
            np.ascontiguousarray(color.T, dtype=np.float32),
            np.ascontiguousarray((second - color).T, dtype=np.float32),
            # Tone is stored as 0..255.
            np.array([material.contrast * 2 / 255 for material in materials], dtype=np.float32),
            np.array([NUMBER[material.texture] for material in materials]),
            np.array([material.ground for material in materials], dtype=np.float32),
        )


def _lit(planes: Floats, camera: Camera, light: Light, glow: Floats) -> Floats:
    """Light on each plane (n, 3): the side that the camera sees, wrapped a little around the edge of shade."""
    normal = np.cross(planes[:, 1], planes[:, 2])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    away = np.einsum("ni,ni->n", normal, planes[:, 0] - np.array(camera.position)) > 0
    normal[away] *= -1
    toward = np.clip(0.25 + 0.75 * (normal @ np.array(light.sun_direction)), 0, 1)
    lit = np.array(light.ambient) + np.array(light.sun) * toward[:, None]
    return np.where(glow[:, None] > 0, glow[:, None], lit)


def _shade(drawn: Drawn, tables: _Tables, light: Light) -> NDArray[np.uint8]:
    height, width = drawn.ids.shape
    texels, start = atlas()
    out = np.empty((height, width, 3), dtype=np.uint8)
    haze = np.array(light.haze, dtype=np.float32)
    # What the shadow takes: the sun's share of the light on the ground.
    ambient, sun = sum(light.ambient), sum(light.sun) * max(0.0, 0.25 + 0.75 * light.sun_direction[1])
    taken = np.interp(np.arange(256), (0, SHADOW, CONTACT), (0, -sun / (ambient + sun), -0.82)).astype(np.float32)
    x = np.arange(width, dtype=np.float32)[None, :]
    step = max(1, BAND_PIXELS // width)
    for top in range(0, height, step):
        ids = drawn.ids[top : top + step].astype(np.intp)
        y = np.arange(top, top + len(ids), dtype=np.float32)[:, None]
        ux, uy, u = tables.u[0][ids], tables.u[1][ids], tables.u[2][ids]
        vx, vy, v = tables.v[0][ids], tables.v[1][ids], tables.v[2][ids]
        wx, wy, w = tables.w[0][ids], tables.w[1][ids], tables.w[2][ids]
        w += wx * x
        w += wy * y
        depth = 1 / np.maximum(w, 2e-4)
        u += ux * x
        u += uy * y
        u *= depth
        v += vx * x
        v += vy * y
        v *= depth
        # How many texels a pixel covers decides the level: d(u/w)/dx and its like, exactly.
        ux -= u * wx
        uy -= u * wy
        vx -= v * wx
        vy -= v * wy
        cover = np.maximum(np.abs(ux) + np.abs(uy), np.abs(vx) + np.abs(vy))
        cover *= depth
        cover *= SIDE
        level = np.clip((cover.view(np.int32) >> 23) - 126, 0, LEVELS - 1)
        side = SIDE >> level
        column = np.floor(u * side).astype(np.int32) & (side - 1)
        row = np.floor(v * side).astype(np.int32) & (side - 1)
        texel = texels[start[level] + tables.texture[ids] * (side * side) + row * side + column]
        mix = (texel >> 8).astype(np.float32)
        mix *= np.float32(1 / 255)
        tone = (texel & 255).astype(np.float32)
        tone -= 127.5
        tone *= tables.contrast[ids]
        tone += 1
        tone *= 1 + tables.ground[ids] * taken[drawn.shadow[top : top + step]]
        clear = np.exp(depth * np.float32(-light.haze_per_m))
        tone *= clear
        clear -= 1
        band = out[top : top + step]
        for channel in range(3):
            value = tables.blend[channel][ids]
            value *= mix
            value += tables.color[channel][ids]
            value *= tone
            value -= clear * haze[channel]
            np.clip(value, 0, 255, out=value)
            band[..., channel] = value
    return out


def _curve(light: Light) -> list[int]:
    """Exposure, white balance and contrast as a table for each channel."""
    values = np.arange(256) / 255
    curves = []
    for factor in light.exposure:
        exposed = np.clip(values * factor, 0, None)
        # A soft shoulder instead of hard clipping.
        exposed = np.where(exposed > 0.8, 0.8 + 0.2 * np.tanh((exposed - 0.8) / 0.2), exposed)
        curves.append(np.rint(255 * exposed**light.gamma).astype(int))
    return [int(value) for curve in curves for value in curve]


@lru_cache(maxsize=1)
def _grain() -> NDArray[np.int16]:
    """Normal noise with deviation 16, long enough to be cut anywhere."""
    return np.rint(np.random.default_rng(0).standard_normal(1 << 21) * 16).astype(np.int16)


def _with_noise(pixels: NDArray[np.uint8], deviation: float, offset: int) -> NDArray[np.uint8]:
    grain = _grain()
    cut = np.resize(grain[offset % (len(grain) // 4) :], pixels.shape)
    noisy = cut * np.int16(round(deviation * 16))
    noisy += 128
    noisy >>= 8
    noisy += pixels
    clipped: NDArray[np.uint8] = np.clip(noisy, 0, 255, out=noisy).astype(np.uint8)
    return clipped
