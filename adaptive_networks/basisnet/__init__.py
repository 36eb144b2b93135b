"""BasisNet: two-stage model synthesis for efficient inference (arXiv 2105.03014)."""
