"""FBNet's space (Wu et al., 2019) at 32×32 pixels, as networks of operations; it builds no module."""
