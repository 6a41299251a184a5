"""Model packages on disk: manifests, versions and weights, all checked as they are read."""

from ancestral.store.condition import Condition
from ancestral.store.errors import PackageError
from ancestral.store.manifest import (
    Data,
    Length,
    Linear,
    Manifest,
    MuLaw,
    Provenance,
    Reference,
)
from ancestral.store.package import (
    Entry,
    Package,
    find,
    list_packages,
    load_package,
    load_weights,
    read_manifest,
    save_package,
)

__all__ = [
    "Condition",
    "Data",
    "Entry",
    "Length",
    "Linear",
    "Manifest",
    "MuLaw",
    "Package",
    "PackageError",
    "Provenance",
    "Reference",
    "find",
    "list_packages",
    "load_package",
    "load_weights",
    "read_manifest",
    "save_package",
]
