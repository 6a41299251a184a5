"""Jobs and their result streams, between the API and the workers.

The API submits, reads and cancels; a worker pulls, publishes and finishes. Neither knows the other.
"""

from ancestral.broker.job import (
    TERMINAL,
    BrokerUnavailable,
    Entry,
    Job,
    JobExists,
    JobUnknown,
    Lane,
    ModelReport,
    QueueFull,
    State,
    Status,
    WorkerReport,
)
from ancestral.broker.memory import MemoryQueue
from ancestral.broker.queue import Asked, Delivery, Publication, Queue, WorkerQueue

__all__ = [
    "TERMINAL",
    "Asked",
    "BrokerUnavailable",
    "Delivery",
    "Entry",
    "Job",
    "JobExists",
    "JobUnknown",
    "Lane",
    "MemoryQueue",
    "ModelReport",
    "Publication",
    "Queue",
    "QueueFull",
    "State",
    "Status",
    "WorkerQueue",
    "WorkerReport",
]
