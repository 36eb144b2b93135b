"""A video: the camera moves, the world stays, and after a street comes another one."""

from itertools import pairwise

import numpy as np
import pytest

from street_scenes.drive import STEP_M, drive
from street_scenes.files import SceneError, scene

SIZE = (48, 96)


def test_frames_change_little_and_streets_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("street_scenes.drive.STREET_M", 3 * STEP_M)
    labels = [frame.labels for frame in drive("val", 6, SIZE)]
    steps = [float((left != right).mean()) for left, right in pairwise(labels)]
    assert max(steps[:2] + steps[3:]) < 0.15 < steps[2], "after the third frame is the cut"


def test_a_drive_begins_with_the_picture_of_the_data_set() -> None:
    first, second = drive("test", 2, SIZE, seed=3)
    picture = scene("test", 0, SIZE, seed=3)
    assert np.array_equal(first.image, picture.image)
    assert np.array_equal(first.labels, picture.labels)
    again = scene("test", 0, SIZE, 3, STEP_M)
    assert np.array_equal(second.image, again.image)
    assert not np.array_equal(second.image, first.image)


def test_what_is_ahead_comes_nearer() -> None:
    """The row in which the sky ends stays; what stands at the side grows and leaves the picture."""
    start, later = (scene("test", 0, SIZE, 0, ahead_m) for ahead_m in (0.0, 8.0))
    vehicles = [np.isin(frame.labels, (26, 27, 28)) for frame in (start, later)]
    assert vehicles[1][:, -10:].sum() > vehicles[0][:, -10:].sum()
    assert abs(int((start.labels == 23).sum()) - int((later.labels == 23).sum())) < start.labels.size / 10


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(SceneError, match="split: unknown split 'town'"):
        next(drive("town", 1, SIZE))
