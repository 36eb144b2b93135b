"""What all pictures share."""

from pathlib import Path

from matplotlib.figure import Figure


def saved(figure: Figure, path: Path, title: str, bottom: float = 0.0) -> Path:
    arrange(figure, title, bottom)
    return written(figure, path)


def arrange(figure: Figure, title: str, bottom: float = 0.0) -> None:
    if title:
        figure.suptitle(title, fontsize=12)
    figure.tight_layout(rect=(0, bottom, 1, 1))


def written(figure: Figure, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    return path
