"""Cityscapes: <root>/leftImg8bit/<split>/<city>/ and <root>/gtFine/<split>/<city>/ (or gtCoarse)."""

from pathlib import Path
from typing import Literal

from lgcnet_search.data.errors import DataError
from lgcnet_search.data.labels import CITYSCAPES
from lgcnet_search.data.segmentation import Files, SegmentationFiles, folder
from lgcnet_search.data.views import ViewRule

Split = Literal["train", "val", "test", "trainval", "train_extra"]

IMAGE_SUFFIX = "_leftImg8bit.png"


class Cityscapes(SegmentationFiles):
    """One split of Cityscapes with the 19 train ids; `coarse` reads gtCoarse (train, val, train_extra).

    `trainval` is train and val, as the paper trained on for the test server. Raises DataError when a folder is missing
    (with the layout it should have), a split is empty, or an image has no label file.
    """

    def __init__(
        self,
        root: Path,
        split: Split,
        views: ViewRule,
        *,
        coarse: bool = False,
        full_labels: bool = False,
        seed: int = 0,
    ) -> None:
        parts: tuple[Split, ...] = ("train", "val") if split == "trainval" else (split,)
        files = [item for part in parts for item in list_files(root, part, coarse=coarse)]
        super().__init__(files, CITYSCAPES, views, full_labels=full_labels, seed=seed)


def list_files(root: Path, split: Split, *, coarse: bool = False) -> list[Files]:
    """All image and label files of a split, sorted by city and name."""
    annotation = "gtCoarse" if coarse else "gtFine"
    suffix = f"_{annotation}_labelIds.png"
    layout = (
        f"{root}/leftImg8bit/{split}/<city>/<city>_<seq>_<frame>{IMAGE_SUFFIX} with "
        f"{root}/{annotation}/{split}/<city>/<city>_<seq>_<frame>{suffix}"
    )
    images = folder(root / "leftImg8bit" / split, root, layout)
    labels = folder(root / annotation / split, root, layout)
    files = [
        Files(image, labels / image.parent.name / (image.name.removesuffix(IMAGE_SUFFIX) + suffix))
        for image in sorted(images.glob(f"*/*{IMAGE_SUFFIX}"))
    ]
    if not files:
        raise DataError(f"no images under {images}. Expected layout: {layout}")
    missing = [item for item in files if not item.label.is_file()]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(files)} images have no label file, the first is {missing[0].image}: "
            f"expected {missing[0].label}. Unpack the {annotation} archive into {root}"
        )
    return files
