"""From textured polygons in a world in metres to a photograph and its labels; knows nothing of streets."""
