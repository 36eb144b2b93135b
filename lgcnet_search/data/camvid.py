"""CamVid as the SegNet tutorial lays it out: <root>/{train,val,test}/ and <root>/{train,val,test}annot/."""

from pathlib import Path
from typing import Literal

from lgcnet_search.data.errors import DataError
from lgcnet_search.data.labels import CAMVID
from lgcnet_search.data.segmentation import Files, SegmentationFiles, folder
from lgcnet_search.data.views import ViewRule


class CamVid(SegmentationFiles):
    """One split with 11 classes; `trainval` is both, as papers train on. Raises DataError as Cityscapes does."""

    def __init__(
        self,
        root: Path,
        split: Literal["train", "val", "test", "trainval"],
        views: ViewRule,
        *,
        full_labels: bool = False,
        seed: int = 0,
    ) -> None:
        splits = ("train", "val") if split == "trainval" else (split,)
        files = [item for part in splits for item in _list_files(root, part)]
        super().__init__(files, CAMVID, views, full_labels=full_labels, seed=seed)


def _list_files(root: Path, split: str) -> list[Files]:
    layout = f"{root}/{split}/<name>.png with {root}/{split}annot/<name>.png (ids 0–10, 11 is void)"
    images = folder(root / split, root, layout)
    labels = folder(root / f"{split}annot", root, layout)
    files = [Files(image, labels / image.name) for image in sorted(images.glob("*.png"))]
    if not files:
        raise DataError(f"no images under {images}. Expected layout: {layout}")
    for item in files:
        if not item.label.is_file():
            raise DataError(f"{item.image} has no label file: expected {item.label}")
    return files
