"""The label tables against what the data sets publish."""

import numpy as np

from lgcnet_search.computing.batches import IGNORE
from lgcnet_search.data.camvid import LABELS as CAMVID
from lgcnet_search.data.cityscapes import LABELS as CITYSCAPES


def test_cityscapes_train_ids_are_the_published_ones() -> None:
    evaluated = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]
    assert [label.id for label in CITYSCAPES.evaluated] == evaluated
    assert [label.id for label in CITYSCAPES.labels] == list(range(34))
    assert [i for i, train_id in enumerate(CITYSCAPES.train_ids) if train_id != IGNORE] == evaluated
    assert CITYSCAPES.names[:3] == ("road", "sidewalk", "building")
    assert CITYSCAPES.names[-3:] == ("train", "motorcycle", "bicycle")
    assert {label.name: label.id for label in CITYSCAPES.labels}["rider"] == 25


def test_classes_and_colours_are_distinct() -> None:
    for table, classes in ((CITYSCAPES, 19), (CAMVID, 11)):
        assert table.classes == classes
        assert [label.train_id for label in table.evaluated] == list(range(classes))
        assert len({label.color for label in table.evaluated}) == classes


def test_colours_follow_ids() -> None:
    assert CITYSCAPES.colored(np.array([[0, IGNORE]])).tolist() == [[[128, 64, 128], [0, 0, 0]]]


def test_unknown_ids_are_found() -> None:
    histogram = [0] * 256
    histogram[7] = histogram[34] = histogram[255] = 1
    assert CITYSCAPES.unknown(histogram) == [34, 255]
