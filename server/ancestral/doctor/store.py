"""The store, and every package in it, read and checked as a server does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ancestral.doctor.finding import Finding
from ancestral.settings import Settings


def store(settings: Settings) -> Iterator[Finding]:
    """Each version of each package: loads or not, has a card, has a reference."""
    from ancestral.store import PackageError, find, list_packages

    root = settings.models
    try:
        entries = list_packages(root)
    except PackageError as error:
        yield Finding("store", str(root), "wrong", str(error), "ANCESTRAL_MODELS=FOLDER, --models")
        return
    if not entries:
        yield Finding("store", str(root), "wrong", "holds no package", "ancestral train, import")
        return
    yield Finding("store", str(root), "ok", f"{len(entries)} models")
    for entry in entries:
        try:
            find(entry.name, root)
        except PackageError as error:
            mend = "write a version that is there into that file, or delete it"
            yield Finding("store", entry.name, "wrong", str(error), mend)
        for version in entry.versions:
            yield package(root / entry.name / str(version))
    known = {f"{entry.name}/{version}" for entry in entries for version in entry.versions}
    known |= {entry.name for entry in entries}
    ahead = [] if settings.ahead in (["all"], ["none"]) else settings.ahead
    for variable, names in (("PACKAGES", settings.wanted), ("PRELOAD", ahead)):
        for name in names:
            if name not in known:
                detail = f"is named by ANCESTRAL_{variable}, and is not there"
                mend = f"there are: {', '.join(entry.name for entry in entries)}"
                yield Finding("store", name, "wrong", detail, mend)


def package(folder: Path) -> Finding:
    """One version of a package."""
    from ancestral.store import PackageError, load_package
    from ancestral.store.card import read_card

    name = f"{folder.parent.name}/{folder.name}"
    try:
        loaded = load_package(folder)
    except PackageError as error:
        mend = "publish it again, or move it out of the store: a server does not serve it"
        return Finding("store", name, "wrong", str(error), mend)
    weights = sum(tensor.nbytes for tensor in loaded.network.state_dict().values())
    reference = loaded.manifest.reference
    detail = f"{loaded.manifest.family}, {loaded.data.kind}, {weights / 2**20:.1f} MiB"
    if reference is None:
        mend = f"ancestral calibrate {name} --data FOLDER OF NORMAL ITEMS"
        return Finding("store", name, "note", f"{detail}; has no reference, no percentiles", mend)
    detail = f"{detail}, {len(reference.scores)} reference scores"
    if not read_card(folder).title:
        mend = f"write {folder / 'README.md'}: data, licence, what it is good for"
        return Finding("store", name, "note", f"{detail}; has no model card", mend)
    return Finding("store", name, "ok", detail)
