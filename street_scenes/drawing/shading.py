"""From drawn surfaces to a photograph: texture, sun, haze, shadows, exposure, blur and noise."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from street_scenes.drawing.camera import Camera, Floats, Point
from street_scenes.drawing.canvas import CONTACT, SHADOW, Color, Drawing, Surface, to_array
from street_scenes.drawing.textures import LEVELS, NUMBER, SIDE, atlas

BAND_PIXELS = 16 * 1024
"""Pixels that are shaded together, so that their arrays stay in the processor's cache."""

DUSK_BLUE = 170.0
"""Blue of a haze, 0..255, below which it is dusk."""

Float32s = NDArray[np.float32]


class Light(NamedTuple):
    """The light of a scene and what the sensor makes of it.

    `ambient`, `sun` and `exposure` are factors for red, green, blue; `blur` is in pixels, `noise` a deviation in
    0..255.
    """

    sun_direction: Point
    ambient: Color
    sun: Color
    haze: Color
    haze_per_m: float
    exposure: Color
    gamma: float
    blur: float
    noise: float

    @property
    def is_dusk(self) -> bool:
        """Lamps and windows are lit."""
        return self.haze[2] < DUSK_BLUE


def photograph(drawing: Drawing, camera: Camera, light: Light, noise_offset: int) -> NDArray[np.uint8]:
    """The picture as RGB (H, W, 3); `noise_offset` chooses the sensor noise."""
    tables, (height, width) = _tables(drawing.surfaces, camera, light), camera.size
    pixels = np.empty((height, width, 3), dtype=np.uint8)
    # What a shadow takes: the sun's share of the light on the ground.
    ambient, sun = sum(light.ambient), sum(light.sun) * max(0.0, 0.25 + 0.75 * light.sun_direction[1])
    taken = np.interp(np.arange(256), (0, SHADOW, CONTACT), (0, sun / (ambient + sun), 0.82)).astype(np.float32)
    step = max(1, BAND_PIXELS // width)
    for top in range(0, height, step):
        rows = slice(top, top + step)
        _shade(pixels[rows], top, drawing.ids[rows].astype(np.intp), taken[drawing.shadow[rows]], tables, light)
    picture = Image.fromarray(pixels).filter(ImageFilter.BoxBlur(light.blur)).point(_curves(light))
    return _with_noise(np.asarray(picture), light.noise, noise_offset)


def _tables(surfaces: list[Surface], camera: Camera, light: Light) -> Float32s:
    """A column per surface. Rows: the factors of (x, y, 1) for u/depth, v/depth and 1/depth in turn, the number of the
    texture, contrast, whether it is ground, its colour and what its texture's mix adds to the colour."""
    materials = [surface.material for surface in surfaces]
    planes = to_array(point for surface in surfaces for point in surface.plane).reshape(-1, 3, 3)
    origin = camera.to_camera(planes[:, 0])
    u, v = planes[:, 1] @ camera.rotation.T, planes[:, 2] @ camera.rotation.T
    # A pixel's ray q meets the plane where q·depth = origin + a·u + b·v: Cramer's rule.
    uvw = np.stack([np.cross(v, origin), np.cross(origin, u), np.cross(u, v)])
    volume = np.einsum("ni,ni->n", u, uvw[0])
    uvw /= np.where(np.abs(volume) < 1e-6, 1e-6, volume)[:, None]
    uvw[:2] /= np.array([material.tile for material in materials]).T[:, :, None]
    uvw[:, :, :2] /= camera.focal_px
    uvw[:, :, 2] += uvw[:, :, :2] @ (0.5 - camera.center)
    lit = _lit(planes, camera, light, np.array([material.glow for material in materials]))
    color = to_array(material.color for material in materials) * lit
    second = to_array(material.second for material in materials) * lit
    looks = [(NUMBER[material.texture], material.contrast * 2 / 255, material.ground) for material in materials]
    uvw = uvw.transpose(0, 2, 1).reshape(9, -1)
    return np.concatenate([uvw, np.array(looks).T, color.T, (second - color).T / 255]).astype(np.float32)


def _lit(planes: Floats, camera: Camera, light: Light, glow: Floats) -> Floats:
    """Light on each plane (n, 3): the side that the camera sees, wrapped a little around the edge of shade."""
    normal = np.cross(planes[:, 1], planes[:, 2])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    away = np.einsum("ni,ni->n", normal, planes[:, 0] - np.array(camera.position)) > 0
    normal[away] *= -1
    toward = np.clip(0.25 + 0.75 * (normal @ np.array(light.sun_direction)), 0, 1)
    lit = np.array(light.ambient) + np.array(light.sun) * toward[:, None]
    return np.where(glow[:, None] > 0, glow[:, None], lit)


def _shade(
    pixels: NDArray[np.uint8], top: int, ids: NDArray[np.intp], taken: Float32s, tables: Float32s, light: Light
) -> None:
    """Fill the rows `pixels` (rows, W, 3) of a picture from row `top`; `taken` (rows, W) is what shadows take."""
    # With a mode other than "raise" NumPy does not check the indices, which takes a third of the time.
    values = (row.take(ids, mode="clip") for row in tables)
    ux, uy, u, vx, vy, v, wx, wy, w, texture, contrast, ground, *color_and_blend = values
    x = np.arange(ids.shape[1], dtype=np.float32)[None, :]
    y = np.arange(top, top + len(ids), dtype=np.float32)[:, None]
    w += wx * x
    w += wy * y
    depth = 1 / np.maximum(w, 2e-4)
    for position, by_x, by_y in ((u, ux, uy), (v, vx, vy)):
        position += by_x * x
        position += by_y * y
        position *= depth
        # The gradient of u and v, up to the factor `depth`, exactly.
        by_x -= position * wx
        by_y -= position * wy
    # How many texels a pixel covers decides the level; the exponent of a float32 is its logarithm.
    cover = np.maximum(np.abs(ux) + np.abs(uy), np.abs(vx) + np.abs(vy))
    cover *= depth
    cover *= SIDE
    level = np.clip((cover.view(np.int32) >> 23) - 126, 0, LEVELS - 1)
    side = SIDE >> level
    texels, start = atlas()
    texel = texture.astype(np.int32) * side
    texel += np.floor(v * side).astype(np.int32) & (side - 1)
    texel *= side
    texel += np.floor(u * side).astype(np.int32) & (side - 1)
    texel += start.take(level, mode="clip")
    mix_and_tone = texels.take(texel, mode="clip")
    mix = (mix_and_tone >> 8).astype(np.float32)
    tone = (mix_and_tone & 255).astype(np.float32)
    tone -= 127.5
    tone *= contrast
    tone += 1
    ground *= taken
    tone *= 1 - ground
    clear = np.exp(depth * np.float32(-light.haze_per_m))
    tone *= clear
    haze = 1 - clear
    for channel, haze_color in enumerate(light.haze):
        value = color_and_blend[3 + channel]
        value *= mix
        value += color_and_blend[channel]
        value *= tone
        value += haze * np.float32(haze_color)
        pixels[..., channel] = np.clip(value, 0, 255, out=value)


def _curves(light: Light) -> list[int]:
    """Exposure, white balance and contrast as a table of 256 values for each channel."""
    exposed = np.arange(256) / 255 * np.array(light.exposure)[:, None]
    # A soft shoulder instead of hard clipping.
    exposed = np.where(exposed > 0.8, 0.8 + 0.2 * np.tanh((exposed - 0.8) / 0.2), exposed)
    curves: list[int] = np.rint(255 * exposed**light.gamma).astype(int).reshape(-1).tolist()
    return curves


@lru_cache(maxsize=1)
def _grain() -> NDArray[np.int16]:
    """Normal noise with deviation 16, long enough to be cut anywhere."""
    return np.rint(np.random.default_rng(0).standard_normal(1 << 21) * 16).astype(np.int16)


def _with_noise(pixels: NDArray[np.uint8], deviation: float, offset: int) -> NDArray[np.uint8]:
    noise = np.resize(_grain()[offset % (1 << 19) :], pixels.shape)
    noise *= np.int16(round(deviation * 16))
    noise += 128
    noise >>= 8
    noise += pixels
    return np.asarray(np.clip(noise, 0, 255, out=noise).astype(np.uint8))
