"""ViT-ResNAS: searching multi-stage vision transformers (arXiv 2109.00642)."""
