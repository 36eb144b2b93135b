"""The LGCNet search space, its supernet, and the latency-aware search (arXiv:2302.08481)."""
