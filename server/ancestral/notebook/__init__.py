"""Plots of models and items for notebooks, with matplotlib: pip install 'ancestral[notebook]'.

>>> import ancestral
>>> from ancestral.notebook import reference_histogram, surprise_map, entropy_map
>>> model = ancestral.load("gated-pixelcnn-mnist")  # doctest: +SKIP
>>> digits = model.sample(4, seed=7, condition={"label": 3})  # doctest: +SKIP
>>> reference_histogram(model, model.log_prob(digits.items, {"label": 3}))  # doctest: +SKIP
"""

from ancestral.notebook.maps import entropy_map, surprise_map
from ancestral.notebook.reference import reference_histogram

__all__ = ["entropy_map", "reference_histogram", "surprise_map"]
