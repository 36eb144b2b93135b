"""Pictures of searched networks, of searches, and of latencies; drawn without a display, PNG or SVG by the suffix.

Every function takes data and a path and returns the path. Nothing here touches pyplot's global state.
"""
