"""What all pictures share."""

from pathlib import Path

from matplotlib.figure import Figure


def saved(figure: Figure, path: Path, title: str, bottom: float = 0.0) -> Path:
    if title:
        figure.suptitle(title, fontsize=12)
    figure.tight_layout(rect=(0, bottom, 1, 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    return path
