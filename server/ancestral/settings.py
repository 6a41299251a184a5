"""Settings of the process: a frozen dataclass filled from `ANCESTRAL_*` variables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ancestral"
RUNTIMES = ("native", "reference", "naive")
SHIPPED = Path(__file__).resolve().parents[2] / "models_store"


@dataclass(frozen=True, slots=True)
class Settings:
    """What a server process may be told; every field is read somewhere."""

    host: str = "127.0.0.1"
    port: int = 8000
    models: Path = SHIPPED  # folder of model packages, NAME/VERSION/
    packages: str = ""  # names served, with commas; empty: the default version of every one
    broker: str = ""  # redis://… or unix://…; empty: in memory, with a worker in this process
    lease_seconds: float = 30.0  # a worker silent for so long loses its jobs; beyond any turn
    cache: Path = CACHE  # what is derived from packages once and kept; may be deleted at any time
    runtime: str = "reference"  # what samples: native, reference or naive
    slots: int = 32  # running batch of one model, sequences
    queue_depth: int = 256  # jobs that may wait per model; more are refused with 429
    queue_full_status: int = 429  # or 503, which some proxies retry
    max_body_bytes: int = 32 * 2**20  # refused before parsing; a 10-minute 16 kHz WAV fits
    max_items: int = 256  # items in one request
    max_output_bytes: int = 64 * 2**20  # values one sampling request may give
    slot_memory_bytes: int = 2 * 2**30  # caches of one model's running batch
    broker_bytes: int = 2**30  # payloads and results that the memory broker holds
    job_ttl_seconds: float = 600.0  # a finished job's result is kept this long
    log_format: str = "text"  # or "json": one object a line

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name != "port" and isinstance(value, int | float) and not value > 0:
                raise ValueError(f"ANCESTRAL_{field.name.upper()} must be above 0, not {value}")
        if self.queue_full_status not in (429, 503):
            raise ValueError(
                f"ANCESTRAL_QUEUE_FULL_STATUS must be 429 or 503, not {self.queue_full_status}"
            )
        if self.runtime not in RUNTIMES:
            raise ValueError(
                f"ANCESTRAL_RUNTIME must be one of {', '.join(RUNTIMES)}, not {self.runtime}"
            )
        if self.log_format not in ("text", "json"):
            raise ValueError(f"ANCESTRAL_LOG_FORMAT must be text or json, not {self.log_format}")
        if self.broker and not self.broker.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("ANCESTRAL_BROKER must be a redis://, rediss:// or unix:// address")
        if not 0 <= self.port < 2**16:
            raise ValueError(f"ANCESTRAL_PORT must lie in 0..65535, not {self.port}")

    @property
    def wanted(self) -> tuple[str, ...]:
        """`packages` as a tuple: NAME or NAME/VERSION."""
        return tuple(name.strip() for name in self.packages.split(",") if name.strip())

    def to_env(self) -> dict[str, str]:
        """The variables that make the same settings in another process."""
        return {f"ANCESTRAL_{f.name.upper()}": str(getattr(self, f.name)) for f in fields(self)}

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
        """Defaults, then `ANCESTRAL_<FIELD>` from `env`, then the overrides that are not None.

        Raises ValueError naming the variable that does not parse.
        """
        env = os.environ if env is None else env
        values: dict[str, Any] = {}
        for field in fields(cls):
            text = env.get(f"ANCESTRAL_{field.name.upper()}")
            if text is None:
                continue
            convert: type[Any] = type(field.default)
            try:
                values[field.name] = convert(text)
            except ValueError as error:
                raise ValueError(
                    f"ANCESTRAL_{field.name.upper()}={text!r} is not {convert.__name__}"
                ) from error
        values.update({name: value for name, value in overrides.items() if value is not None})
        return cls(**values)
