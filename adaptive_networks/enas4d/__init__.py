"""ENAS4D: searching multi-stage networks for dynamic inference (arXiv 2009.09182)."""
