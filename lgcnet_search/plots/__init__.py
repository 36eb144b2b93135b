"""Pictures of searched networks, of searches, and of latencies; drawn without a display, PNG or SVG by the suffix.

Every function takes data and a path and returns the path. Nothing here touches pyplot's global state.
"""

from lgcnet_search.plots.charts import (
    Prediction,
    Result,
    accuracy_against_latency,
    heatmap_cells,
    latency_against_beta,
    latency_heatmap,
    predicted_against_measured,
    search_curves,
)
from lgcnet_search.plots.networks import LARGE, LIGHT, Kind, fusion_cell, kind_of, searched_cells, short_name
from lgcnet_search.plots.predictions import PredictedImage, predicted_images

__all__ = [
    "LARGE",
    "LIGHT",
    "Kind",
    "PredictedImage",
    "Prediction",
    "Result",
    "accuracy_against_latency",
    "fusion_cell",
    "heatmap_cells",
    "kind_of",
    "latency_against_beta",
    "latency_heatmap",
    "predicted_against_measured",
    "predicted_images",
    "search_curves",
    "searched_cells",
    "short_name",
]
