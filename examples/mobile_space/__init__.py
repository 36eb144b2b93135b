"""A MobileNet-style search space, a distribution of its own.

Its modules import each other relatively: agents have it installed as `mobile_space`, tests and benchmarks read it here.
"""
