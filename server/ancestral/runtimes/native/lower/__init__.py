"""Programs as tables of operations: what is decided once, in Python."""
