"""The zip of a `.pt2` file: its JSON documents and its tensors as raw storage.

Entries are stored uncompressed by `torch.export.save`; a compressed one is refused, so that what is
read is never larger than the file. Pickled entries (sample inputs) are left alone.
"""

from __future__ import annotations

import json
import zipfile
from math import prod
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor

from ancestral.store.errors import PackageError

LARGEST_DOCUMENT = 64 << 20  # bytes of JSON
LARGEST_TENSOR = 1 << 31  # elements, expanded ones included

# torch/_export/serde/schema.py, ScalarType: numbers of the schema, version 8
DTYPES: dict[int, torch.dtype] = {
    1: torch.uint8,
    2: torch.int8,
    3: torch.int16,
    4: torch.int32,
    5: torch.int64,
    6: torch.float16,
    7: torch.float32,
    8: torch.float64,
    12: torch.bool,
    13: torch.bfloat16,
}


class Archive:
    """An open `.pt2`. Every method raises PackageError naming the file and the entry."""

    def __init__(self, file: Path) -> None:
        self.file = file
        try:
            self._zip = zipfile.ZipFile(file)
        except (OSError, zipfile.BadZipFile, ValueError) as error:
            raise PackageError(file, f"is not a .pt2 archive: {error}") from error
        self._entries: dict[str, zipfile.ZipInfo] = {}
        try:
            self._index()
        except PackageError:
            self._zip.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._zip.close()

    def _index(self) -> None:
        """Names below the archive's one folder; sizes must add up to no more than the file."""
        total = 0
        for info in self._zip.infolist():
            _, _, name = info.filename.partition("/")
            if not name:
                name = info.filename
            if name in self._entries:
                raise self.error(info.filename, "is there twice")
            if info.compress_type != zipfile.ZIP_STORED:
                raise self.error(info.filename, "is compressed; torch.export.save stores entries")
            total += info.file_size
            self._entries[name] = info
        if total > self.file.stat().st_size:
            raise PackageError(self.file, "its entries add up to more than the file")
        if "serialized_exported_program.json" in self._names():
            raise PackageError(
                self.file,
                "was written by an older torch, which pickles the weights: save it again with "
                "torch 2.9 or newer",
            )

    def _names(self) -> set[str]:
        return {info.filename for info in self._entries.values()} | set(self._entries)

    def error(self, entry: str, message: str) -> PackageError:
        return PackageError(self.file, f"{entry}: {message}")

    def read(self, entry: str, limit: int | None = None) -> bytes:
        """The bytes of an entry, its checksum verified."""
        info = self._entries.get(entry)
        if info is None:
            raise self.error(entry, "is missing from the archive")
        if limit is not None and info.file_size > limit:
            raise self.error(entry, f"is larger than {limit} bytes")
        try:
            return self._zip.read(info)
        except (OSError, EOFError, ValueError, RuntimeError, NotImplementedError) as error:
            raise self.error(entry, f"cannot be read: {error}") from error
        except zipfile.BadZipFile as error:
            raise self.error(entry, f"is damaged: {error}") from error

    def document(self, entry: str) -> dict[str, Any]:
        """A JSON object."""
        try:
            found = json.loads(self.read(entry, LARGEST_DOCUMENT))
        except (ValueError, RecursionError) as error:
            raise self.error(entry, f"is not JSON: {error}") from error
        if not isinstance(found, dict):
            raise self.error(entry, "is not a JSON object")
        return found

    def only(self, folder: str, suffix: str) -> str:
        """The one entry of a folder with that suffix."""
        found = [
            name for name in self._entries if name.startswith(folder) and name.endswith(suffix)
        ]
        if len(found) != 1:
            raise PackageError(
                self.file, f"holds {len(found)} entries {folder}*{suffix} where one is expected"
            )
        return found[0]

    def tensors(self, folder: str) -> dict[str, Tensor]:
        """The tensors that a folder's config names; {} where there is no such folder."""
        configs = [n for n in self._entries if n.startswith(folder) and n.endswith("_config.json")]
        if not configs:
            return {}
        entry = self.only(folder, "_config.json")
        config = self.document(entry).get("config")
        if not isinstance(config, dict):
            raise self.error(entry, "has no table `config`")
        return {str(name): self._tensor(folder, entry, str(name), config[name]) for name in config}

    def _tensor(self, folder: str, entry: str, name: str, described: Any) -> Tensor:
        try:
            if described.get("use_pickle") or described["tensor_meta"] is None:
                raise self.error(entry, f"{name} is pickled, and is not unpickled here")
            path, meta = folder + str(described["path_name"]), described["tensor_meta"]
            sizes = [int(size["as_int"]) for size in meta["sizes"]]
            strides = [int(stride["as_int"]) for stride in meta["strides"]]
            offset = int(meta["storage_offset"]["as_int"])
            dtype = DTYPES.get(meta["dtype"])
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise self.error(entry, f"{name} is not described as a tensor ({error!r})") from error
        if dtype is None or meta.get("layout", 7) != 7:
            raise self.error(path, f"{name} has an unknown type {meta['dtype']} or layout")
        return self._strided(path, name, dtype, sizes, strides, offset)

    def _strided(
        self,
        path: str,
        name: str,
        dtype: torch.dtype,
        sizes: list[int],
        strides: list[int],
        offset: int,
    ) -> Tensor:
        if len(sizes) != len(strides) or min([*sizes, *strides, offset], default=0) < 0:
            raise self.error(path, f"{name} has sizes {sizes} and strides {strides}")
        if prod(sizes) > LARGEST_TENSOR:
            raise self.error(path, f"{name} has sizes {sizes}: too many elements")
        if prod(sizes) == 0:
            return torch.zeros(sizes, dtype=dtype)
        data = self.read(path)
        last = offset + sum((n - 1) * step for n, step in zip(sizes, strides, strict=True))
        if (last + 1) * dtype.itemsize > len(data):
            raise self.error(
                path,
                f"holds {len(data)} bytes; {name} of sizes {sizes} and {dtype} needs "
                f"{(last + 1) * dtype.itemsize}",
            )
        if dtype == torch.bool and any(byte > 1 for byte in data):
            raise self.error(path, f"{name} holds bytes that are no booleans")
        whole = torch.frombuffer(bytearray(data), dtype=dtype, count=len(data) // dtype.itemsize)
        found = whole.as_strided(sizes, strides, offset).clone()
        if found.is_floating_point():
            if bool(torch.isnan(found).any()):
                raise self.error(path, f"{name} holds NaN")
            if dtype in (torch.float16, torch.bfloat16):
                found = found.float()
        return found
