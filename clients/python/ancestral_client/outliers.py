"""A scikit-learn outlier detector whose scores are a served model's exact log-likelihoods."""

from __future__ import annotations

import math
import warnings
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from ancestral_client.blocking import Client

Scores = npt.NDArray[np.float64]


class AncestralOutlierDetector(OutlierMixin, BaseEstimator):  # type: ignore[misc]
    """Items that the model finds less likely than nearly all normal ones are outliers.

    model             NAME or NAME/VERSION of a model on the server
    url               of the server
    false_alarm_rate  the wished share of normal items that are called outliers
    condition         for class-conditional models: one that holds for all items
    marginal          sum out labels that are not given
    client            in place of a Client of `url`

    `fit` takes normal items. The threshold is the k-th smallest of their n scores with
    k = ⌊rate · (n + 1)⌋: a further normal item falls below it with probability at most k / (n + 1)
    (split conformal prediction: Vovk, Gammerman and Shafer 2005). With fewer than 1/rate − 1 items
    there is no such threshold; then nothing is an outlier, and a warning says so.

    Items are rows of a 2-D array, which are given the model's shape, or whatever `Client.log_prob`
    takes. Scores are log-likelihoods in nats; of models whose items vary in length, minus bits per
    dimension.

    offset_           the threshold
    n_features_in_    values of an item, where rows of an array were given
    """

    def __init__(
        self,
        model: str = "",
        *,
        url: str | None = None,
        false_alarm_rate: float = 0.05,
        condition: dict[str, Any] | None = None,
        marginal: bool = False,
        client: Any = None,
    ) -> None:
        self.model = model
        self.url = url
        self.false_alarm_rate = false_alarm_rate
        self.condition = condition
        self.marginal = marginal
        self.client = client

    def fit(self, X: Any, y: object = None) -> Self:
        """Set the threshold by the scores of normal items. Raises ValueError for a bad rate."""
        if not 0 < self.false_alarm_rate < 1:
            message = f"false_alarm_rate must lie between 0 and 1, not {self.false_alarm_rate}"
            raise ValueError(message)
        scores = np.sort(self._scores(X, reset=True))
        rank = math.floor(self.false_alarm_rate * (len(scores) + 1) + 1e-9)
        if rank == 0:
            needed = math.ceil(1 / self.false_alarm_rate - 1 - 1e-9)
            message = f"{len(scores)} items are too few for this rate; at least {needed} are needed"
            warnings.warn(message, UserWarning, stacklevel=2)
        self.offset_ = scores[rank - 1] if rank else -np.inf
        return self

    def score_samples(self, X: Any) -> Scores:
        """The higher, the more normal, [items]. Raises what `Client.log_prob` does."""
        check_is_fitted(self)
        return self._scores(X, reset=False)

    def decision_function(self, X: Any) -> Scores:
        """Scores less the threshold: negative for outliers, [items]."""
        scores = self.score_samples(X)
        return np.asarray(scores - self.offset_)

    def predict(self, X: Any) -> npt.NDArray[np.int64]:
        """1 for normal items, -1 for outliers, [items]."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def _scores(self, X: Any, *, reset: bool) -> Scores:
        if _is_table(X):
            X = validate_data(self, X, reset=reset, dtype="numeric")
        client = Client(self.url) if self.client is None else self.client
        try:
            card = client.model(self.model)
            if _is_table(X) and card.sites is not None and X.shape[1] == math.prod(card.shape):
                X = X.reshape(-1, *card.shape)
            if isinstance(X, np.ndarray):
                X = list(X)
            options: dict[str, Any] = {"marginal": True} if self.marginal else {}
            if self.condition is not None:
                options["condition"] = self.condition
            found = client.log_prob(self.model, X, **options)
        finally:
            if self.client is None:
                client.close()
        if card.sites is None:
            return -np.array([score.bits_per_dim for score in found], dtype=np.float64)
        return np.array([score.log_prob for score in found], dtype=np.float64)


def _is_table(X: Any) -> bool:
    """Whether X is for scikit-learn to check: anything but lists of items and arrays of images."""
    if isinstance(X, list | tuple):
        return all(isinstance(row, list | tuple) for row in X)
    return not hasattr(X, "__next__") and getattr(X, "ndim", 2) < 3
