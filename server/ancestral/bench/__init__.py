"""`ancestral bench`: sampling beside scoring, beside what others run, and a server under load."""

from ancestral.bench.measure import measure
from ancestral.bench.networks import NETWORKS, network
from ancestral.bench.row import Row, table

__all__ = ["NETWORKS", "Row", "measure", "network", "table"]
