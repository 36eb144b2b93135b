"""A new device from few networks: what other devices and the work of operations say, corrected by what it measured.

Numpy only. `features` counts operations, `sources` has what they cost on other devices, `prior` says in which
directions devices differ, `student` fits the measured networks, `new_device` predicts, `design` picks what to measure.
"""
