"""Who may ask, and how much: keys, short-lived tokens, and allowances."""

from ancestral.access.allowance import Ledger, Level, MemoryLedger, Rate
from ancestral.access.keys import Key, KeyRing, create, read_keys, revoke

__all__ = [
    "Key",
    "KeyRing",
    "Ledger",
    "Level",
    "MemoryLedger",
    "Rate",
    "create",
    "read_keys",
    "revoke",
]
