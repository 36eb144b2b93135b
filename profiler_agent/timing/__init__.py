"""Clocks: each times a block of executions in its own way; `block` has what they share."""
