"""Client of an Ancestral server: exact log-likelihoods and streamed samples.

`Client` waits, `AsyncClient` is for asyncio; both have the same methods. `AncestralOutlierDetector`
(in `ancestral_client.outliers`, with the extra `sklearn`) is a scikit-learn estimator.
"""

from ancestral_client.answers import (
    BatchAnswer,
    Embedding,
    Job,
    Model,
    Sample,
    Samples,
    Score,
)
from ancestral_client.asynchronous import AsyncClient
from ancestral_client.blocking import Client, Stream
from ancestral_client.errors import (
    AncestralError,
    Conflict,
    DeadlinePassed,
    FieldError,
    Invalid,
    ItemError,
    JobCanceled,
    JobPending,
    NotFound,
    ProblemError,
    QueueFull,
    StreamBroken,
    Unauthorized,
    Unavailable,
    Unreachable,
)
from ancestral_client.frames import Chunk, Started
from ancestral_client.items import Sound
from ancestral_client.options import BatchLine
from ancestral_client.streaming import AsyncStream, Finished, ItemScore

__all__ = [
    "AncestralError",
    "AsyncClient",
    "AsyncStream",
    "BatchAnswer",
    "BatchLine",
    "Chunk",
    "Client",
    "Conflict",
    "DeadlinePassed",
    "Embedding",
    "FieldError",
    "Finished",
    "Invalid",
    "ItemError",
    "ItemScore",
    "Job",
    "JobCanceled",
    "JobPending",
    "Model",
    "NotFound",
    "ProblemError",
    "QueueFull",
    "Sample",
    "Samples",
    "Score",
    "Sound",
    "Started",
    "Stream",
    "StreamBroken",
    "Unauthorized",
    "Unavailable",
    "Unreachable",
]
