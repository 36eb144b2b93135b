"""A video: what a camera sees that drives along one street after the other."""

from collections.abc import Iterator

from street_scenes.files import scene
from street_scenes.scene import Scene

STEP_M = 0.4
"""Metres from a frame to the next: 10 m/s at 25 frames a second."""
STREET_M = 60.0
"""After so many metres comes another street of another town: a cut."""


def drive(split: str, frames: int, size: tuple[int, int], seed: int = 0) -> Iterator[Scene]:
    """Frames at `size` (height, width). Raises SceneError for an unknown split and a size under 16×16."""
    street = round(STREET_M / STEP_M)
    for frame in range(frames):
        yield scene(split, frame // street, size, seed, STEP_M * (frame % street))
