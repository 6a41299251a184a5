"""The archive that `torch.export.save` writes, read as JSON and raw bytes; nothing is unpickled."""

from ancestral.store.pt2.archive import Archive
from ancestral.store.pt2.program import Exported, Meta, read_pt2

__all__ = ["Archive", "Exported", "Meta", "read_pt2"]
