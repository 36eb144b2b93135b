"""Cityscapes: <root>/leftImg8bit/<split>/<city>/ and <root>/gtFine/<split>/<city>/ (or gtCoarse)."""

from pathlib import Path

from lgcnet_search.computing.batches import IGNORE
from lgcnet_search.data.labels import Label, LabelTable
from lgcnet_search.data.segmentation import Files, folder, labelled, pictures_in

COARSE = "coarse"
"""The split of the coarsely labelled extra pictures: leftImg8bit/train_extra with gtCoarse."""

IMAGE_SUFFIX = "_leftImg8bit.png"

# Ids, train ids and colours as published with the Cityscapes data set (Cordts et al., CVPR 2016). The licence
# plate (-1) is left out: no labelIds file holds it.
LABELS = LabelTable(
    "Cityscapes",
    (
        Label(0, "unlabeled", IGNORE, (0, 0, 0)),
        Label(1, "ego vehicle", IGNORE, (0, 0, 0)),
        Label(2, "rectification border", IGNORE, (0, 0, 0)),
        Label(3, "out of roi", IGNORE, (0, 0, 0)),
        Label(4, "static", IGNORE, (0, 0, 0)),
        Label(5, "dynamic", IGNORE, (111, 74, 0)),
        Label(6, "ground", IGNORE, (81, 0, 81)),
        Label(7, "road", 0, (128, 64, 128)),
        Label(8, "sidewalk", 1, (244, 35, 232)),
        Label(9, "parking", IGNORE, (250, 170, 160)),
        Label(10, "rail track", IGNORE, (230, 150, 140)),
        Label(11, "building", 2, (70, 70, 70)),
        Label(12, "wall", 3, (102, 102, 156)),
        Label(13, "fence", 4, (190, 153, 153)),
        Label(14, "guard rail", IGNORE, (180, 165, 180)),
        Label(15, "bridge", IGNORE, (150, 100, 100)),
        Label(16, "tunnel", IGNORE, (150, 120, 90)),
        Label(17, "pole", 5, (153, 153, 153)),
        Label(18, "polegroup", IGNORE, (153, 153, 153)),
        Label(19, "traffic light", 6, (250, 170, 30)),
        Label(20, "traffic sign", 7, (220, 220, 0)),
        Label(21, "vegetation", 8, (107, 142, 35)),
        Label(22, "terrain", 9, (152, 251, 152)),
        Label(23, "sky", 10, (70, 130, 180)),
        Label(24, "person", 11, (220, 20, 60)),
        Label(25, "rider", 12, (255, 0, 0)),
        Label(26, "car", 13, (0, 0, 142)),
        Label(27, "truck", 14, (0, 0, 70)),
        Label(28, "bus", 15, (0, 60, 100)),
        Label(29, "caravan", IGNORE, (0, 0, 90)),
        Label(30, "trailer", IGNORE, (0, 0, 110)),
        Label(31, "train", 16, (0, 80, 100)),
        Label(32, "motorcycle", 17, (0, 0, 230)),
        Label(33, "bicycle", 18, (119, 11, 32)),
    ),
)


def list_files(root: Path, split: str) -> list[Files]:
    """All image and label files of train, val, test or coarse, sorted by city and name. Raises DataError."""
    annotation, split = ("gtCoarse", "train_extra") if split == COARSE else ("gtFine", split)
    suffix = f"_{annotation}_labelIds.png"
    expected = (
        f"{root}/leftImg8bit/{split}/<city>/<city>_<seq>_<frame>{IMAGE_SUFFIX} with "
        f"{root}/{annotation}/{split}/<city>/<city>_<seq>_<frame>{suffix}"
    )
    images = folder(root / "leftImg8bit" / split, root, expected)
    labels = folder(root / annotation / split, root, expected)
    files = (
        Files(image, labels / image.parent.name / (image.name.removesuffix(IMAGE_SUFFIX) + suffix))
        for image in pictures_in(images, f"*/*{IMAGE_SUFFIX}")
    )
    return labelled(files, images, expected)
