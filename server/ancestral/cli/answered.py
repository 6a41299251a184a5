"""What an output file of `ancestral batch` answers already, in a few bytes a line."""

from __future__ import annotations

import hashlib
import json
import os
from itertools import compress
from pathlib import Path

import numpy as np

_BYTES = 16  # of a digest: two of a thousand million names meet once in 10^20 such files
_DTYPE = f"S{_BYTES}"


class Answered:
    """The `custom_id`s that have an answer which stays; `failed` of these answers are no 200."""

    def __init__(self, digests: bytes = b"", failed: int = 0) -> None:
        self._digests = np.sort(np.frombuffer(digests, _DTYPE))
        self.failed = failed

    def __len__(self) -> int:
        return len(self._digests)

    def __contains__(self, identity: str) -> bool:
        key = np.frombuffer(_digest(identity), _DTYPE)
        place = int(np.searchsorted(self._digests, key)[0])
        return place < len(self) and bool(self._digests[place] == key[0])


def answered(output: Path) -> Answered:
    """Answers of an earlier run that stay.

    The first of each name does; a torn last line and failures that pass (5xx) are taken out of the
    file, which is rewritten only where it has any.
    """
    if not output.exists():
        return Answered()
    digests, stays, bad = bytearray(), bytearray(), bytearray()
    with output.open("rb") as file:
        for text in file:
            try:
                found = json.loads(text)
                identity, status = str(found["custom_id"]), int(found["response"]["status_code"])
            except (ValueError, KeyError, TypeError):
                identity, status = "", 500
            good = status < 500 and text.endswith(b"\n")
            stays.append(good)
            if good:
                digests += _digest(identity)
                bad.append(status != 200)
    _, first = np.unique(np.frombuffer(digests, _DTYPE), return_index=True)
    kept = np.frombuffer(stays, np.uint8).astype(bool)
    kept[kept] = np.isin(np.arange(len(bad)), first)
    if not kept.all():
        part = output.with_name(output.name + ".part")
        with output.open("rb") as old, part.open("wb") as new:
            new.writelines(compress(old, kept))
        os.replace(part, output)
    names = np.frombuffer(digests, _DTYPE)[np.sort(first)]
    return Answered(names.tobytes(), int(np.frombuffer(bad, np.uint8)[first].sum()))


def _digest(identity: str) -> bytes:
    text = identity.encode(errors="surrogatepass")
    return hashlib.blake2b(text, digest_size=_BYTES).digest()
