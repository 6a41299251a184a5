"""Model packages on disk: manifests, versions and weights, all checked as they are read."""

from ancestral.store.condition import Condition
from ancestral.store.errors import PackageError
from ancestral.store.files import load_weights, read_manifest
from ancestral.store.manifest import (
    Data,
    Length,
    Linear,
    Manifest,
    MuLaw,
    Provenance,
    Reference,
)
from ancestral.store.package import Package, load_package
from ancestral.store.publish import save_package
from ancestral.store.versions import Entry, find, list_packages

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
