"""DDNN: depth-level dynamic networks with embedded knowledge distillation (arXiv 2103.00793)."""
