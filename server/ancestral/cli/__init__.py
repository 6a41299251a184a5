"""The `ancestral` command: one file per command group, on the same objects as the server."""
