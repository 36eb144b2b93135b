"""CamVid as the SegNet tutorial lays it out: <root>/{train,val,test}/ and <root>/{train,val,test}annot/."""

from pathlib import Path

from lgcnet_search.computing.batches import IGNORE
from lgcnet_search.data.errors import DataError
from lgcnet_search.data.labels import Label, LabelTable
from lgcnet_search.data.segmentation import Files, folder, labelled, pictures_in

# The 11 classes and the void of the SegNet tutorial's CamVid; there the id is the train id.
LABELS = LabelTable(
    "CamVid",
    (
        Label(0, "sky", 0, (128, 128, 128)),
        Label(1, "building", 1, (128, 0, 0)),
        Label(2, "pole", 2, (192, 192, 128)),
        Label(3, "road", 3, (128, 64, 128)),
        Label(4, "pavement", 4, (60, 40, 222)),
        Label(5, "tree", 5, (128, 128, 0)),
        Label(6, "sign", 6, (192, 128, 128)),
        Label(7, "fence", 7, (64, 64, 128)),
        Label(8, "car", 8, (64, 0, 128)),
        Label(9, "pedestrian", 9, (64, 64, 0)),
        Label(10, "bicyclist", 10, (0, 128, 192)),
        Label(11, "void", IGNORE, (0, 0, 0)),
    ),
    void=frozenset({255}),  # of many copies
)


def list_files(root: Path, split: str) -> list[Files]:
    """All image and label files of train, val or test, sorted by name. Raises DataError."""
    expected = f"{root}/{split}/<name>.png with {root}/{split}annot/<name>.png (ids 0–10, 11 or 255 is void)"
    images = folder(root / split, root, expected)
    labels = folder(root / f"{split}annot", root, expected)
    files = labelled((Files(image, labels / f"{image.stem}.png") for image in pictures_in(images)), images, expected)
    without = sorted({label.name for label in pictures_in(labels)} - {pair.label.name for pair in files})
    if without:
        raise DataError(
            f"{len(without)} label files have no image, the first is {labels / without[0]}: expected "
            f"{images / without[0]}. Copy the images to {images}, or remove their labels"
        )
    return files
