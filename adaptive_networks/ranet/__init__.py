"""RANet: resolution adaptive networks for efficient inference (Yang et al., CVPR 2020)."""
