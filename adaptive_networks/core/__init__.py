"""What all systems share: a network as a list of steps with exits, its paths, thresholds and rates."""
