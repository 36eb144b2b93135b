"""DANCE: data and network slimmed together for segmentation (arXiv 2107.07706)."""
