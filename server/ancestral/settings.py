"""Settings of a process: defaults, a TOML file, `ANCESTRAL_*` variables and flags, in that order.

A key that is not known is an error wherever it stands, so that a misspelt limit is not taken for a
set one. `docs/operations.md` has the table of these fields; a test compares the two.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import fields
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, ByteSize, ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass
from pydantic_core import ErrorDetails

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ancestral"
Runtime = Literal["native", "onnx", "reference", "naive"]
Precision = Literal["float32", "tf32", "bf16"]
Weights = Literal["", "float32", "bf16", "int8"]
RUNTIMES: tuple[str, ...] = get_args(Runtime)
ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "models_store"
GUIDE = ROOT / "site"
PREFIX = "ANCESTRAL_"
CONFIG = "ANCESTRAL_CONFIG"  # names the TOML file
# of the data sets that recipes name, of tests, and of the clients: not settings of a server
OTHERS = ("CONFIG", "DATA", "CHECKPOINTS", "KEY", "URL")
OF_TESTS = "ANCESTRAL_TEST_"


def _joined(value: Any) -> Any:
    """A TOML list as the text with commas that a variable holds."""
    return ",".join(map(str, value)) if isinstance(value, list) else value


def _number(value: Any) -> Any:
    """The text of a variable as the number that it is."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def _given(value: Any) -> Any:
    """None for the empty text of a variable that is there but holds nothing."""
    return None if value == "" else value


MaybePath = Annotated[Path | None, BeforeValidator(_given)]
Names = Annotated[str, BeforeValidator(_joined)]
Refusal = Annotated[Literal[429, 503], BeforeValidator(_number)]


def _setting(default: Any, text: str, *, api: bool = False, **bounds: Any) -> Any:
    """A field, what the table says of it, and whether API processes alone read it."""
    return Field(default, description=text, json_schema_extra={"api": api}, **bounds)


@dataclass(frozen=True, slots=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Settings:
    """What a process may be told; every field is read somewhere. Sizes may be written as 2GiB."""

    host: str = _setting("127.0.0.1", "address to listen on", api=True)
    port: int = _setting(8000, "port to listen on", api=True, ge=0, lt=2**16)
    models: Path = _setting(SHIPPED, "folder of model packages, NAME/VERSION/")
    packages: Names = _setting("", "names that are served, with commas; all where it is empty")
    preload: Names = _setting(
        "all", "which of them are loaded at the start: `all`, `none` or names; others on demand"
    )
    guide: Path = _setting(
        GUIDE, "the guide that `make docs` built, shown at /docs/guide", api=True
    )
    broker: str = _setting(
        "",
        "`redis://HOST:PORT/DB`, `rediss://…` or `unix://…`; in memory where it is empty",
        pattern="^$|^(redis|rediss|unix)://",
    )
    lease_seconds: float = _setting(
        30.0,
        "a worker that is silent for so long loses its jobs to others; longer than any turn",
        gt=0,
    )
    drain_seconds: float = _setting(
        25.0, "what runs may finish, when a process is asked to stop; then it is handed over", gt=0
    )
    device: str = _setting(
        "cpu", "where networks run: `cpu`, or `cuda:0`", pattern=r"^(cpu|cuda(:\d+)?)$"
    )
    precision: Precision = _setting("float32", "of products on a GPU: `float32`, `tf32` or `bf16`")
    runtime: Runtime = _setting("native", "what samples: `native`, `onnx`, `reference` or `naive`")
    weights: Weights = _setting(
        "", "weights are rounded to `float32`, `bf16` or `int8`; as each package says where empty"
    )
    cores: int = _setting(
        1, "threads that the native runtime splits a running batch over; values are the same", gt=0
    )
    slots: int = _setting(
        32, "the most sequences in one model's running batch; memory may allow fewer", gt=0
    )
    slot_memory_bytes: ByteSize = _setting(
        ByteSize(2 * 2**30), "caches of one model's running batch", gt=0
    )
    memory_bytes: ByteSize = _setting(
        ByteSize(4 * 2**30), "weights and caches of all models that a worker holds", gt=0
    )
    queue_depth: int = _setting(
        256, "jobs that may wait per model; more are refused with 429", api=True, gt=0
    )
    queue_full_status: Refusal = _setting(429, "or 503, which some proxies retry", api=True)
    broker_bytes: ByteSize = _setting(
        ByteSize(2**30), "requests and results held by the broker", api=True, gt=0
    )
    cache: Path = _setting(
        CACHE, "what follows from packages and is kept between starts; may be deleted at any time"
    )
    job_ttl_seconds: float = _setting(600.0, "how long a finished job's result is kept", gt=0)
    max_body_bytes: ByteSize = _setting(
        ByteSize(32 * 2**20),
        "of a request or a WebSocket message; refused before parsing",
        api=True,
        gt=0,
    )
    max_items: int = _setting(256, "items in one request", api=True, gt=0)
    max_item_sites: int = _setting(
        50_000_000,
        "pixels or samples of one uploaded file, before and after it is fitted to a model",
        api=True,
        gt=0,
    )
    max_output_bytes: ByteSize = _setting(
        ByteSize(64 * 2**20), "values of one sampling job", api=True, gt=0
    )
    traces: str = _setting(
        "",
        "OpenTelemetry collector that spans are sent to over HTTP, such as "
        "`http://localhost:4318`; needs `ancestral[tracing]`",
        pattern="^$|^https?://",
    )
    log_format: Literal["text", "json"] = _setting(
        "text", "or `json`: one object a line, with request ids"
    )
    keys: MaybePath = _setting(
        None,
        "file of `ancestral keys`; where it is given, every request needs one of its keys",
        api=True,
    )
    allow_anonymous: bool = _setting(
        False, "serve without keys on an address that others reach", api=True
    )
    requests_per_minute: int = _setting(
        0, "of a key that does not say otherwise; 0: no limit", api=True, ge=0
    )
    sites_per_minute: int = _setting(
        0, "drawn and scored, of a key that does not say otherwise; 0: no limit", api=True, ge=0
    )
    token_seconds: float = _setting(
        60.0, "how long a token of `POST /tokens` opens sockets", api=True, gt=0
    )
    open_metrics: bool = _setting(False, "`/metrics` without a key", api=True)
    cors_origins: Names = _setting(
        "", "origins whose pages may ask, with commas, such as `https://example.org`", api=True
    )

    @property
    def wanted(self) -> tuple[str, ...]:
        """`packages` as a tuple: NAME or NAME/VERSION."""
        return _split(self.packages)

    @property
    def ahead(self) -> list[str]:
        """`preload` as a list: names, or `all` or `none` alone."""
        return list(_split(self.preload))

    @property
    def origins(self) -> tuple[str, ...]:
        """`cors_origins` as a tuple."""
        return _split(self.cors_origins)

    def require_guarded(self) -> None:
        """Raises ValueError where anybody could use a server with these settings unasked."""
        if self.keys is None and not self.allow_anonymous and not loopback(self.host):
            raise ValueError(
                f"{PREFIX}HOST={self.host} can be reached by others, and nobody is asked for a "
                f"key: {PREFIX}KEYS (--keys) names a file of them, which `ancestral keys` makes; "
                f"{PREFIX}ALLOW_ANONYMOUS=true (--allow-anonymous) serves without"
            )

    def to_env(self) -> dict[str, str]:
        """The variables that make the same settings in another process."""
        found = {f.name: getattr(self, f.name) for f in fields(self)}
        return {variable(name): str(value) for name, value in found.items() if value is not None}

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None, **flags: Any) -> Settings:
        """Defaults, the TOML file, `ANCESTRAL_<FIELD>` from `env`, the flags that are not None.

        The flag `config`, or ANCESTRAL_CONFIG, names the file. Raises ValueError that names the
        variable, the file's key or the flag that is unknown or does not fit.
        """
        env = os.environ if env is None else env
        config = flags.pop("config", None) or env.get(CONFIG)
        known = [field.name for field in fields(cls)]
        told: dict[str, tuple[str, Any]] = {}  # by field: where it was said, and what
        if config:
            told |= _of_file(Path(config), known)
        told |= _of_env(env, known)
        told |= {
            name: (f"{variable(name)} (--{name.replace('_', '-')})", value)
            for name, value in flags.items()
            if value is not None
        }
        try:
            return cls(**{name: value for name, (_, value) in told.items()})
        except ValidationError as error:
            raise ValueError("; ".join(_fault(found, told) for found in error.errors())) from None


def variable(name: str) -> str:
    """The environment variable of a field."""
    return PREFIX + name.upper()


def _of_file(path: Path, known: Iterable[str]) -> dict[str, tuple[str, Any]]:
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not TOML: {error}") from error
    for key in found:
        _require_known(key, known, f"{path}: {key}")
    return {key: (f"{path}: {key}", value) for key, value in found.items()}


def _of_env(env: Mapping[str, str], known: Iterable[str]) -> dict[str, tuple[str, Any]]:
    variables = [variable(name) for name in known]
    found = {}
    for key in sorted(env):
        if not key.startswith(PREFIX) or key.startswith(OF_TESTS):
            continue
        if key.removeprefix(PREFIX) in OTHERS:
            continue
        _require_known(key, variables, key)
        found[key.removeprefix(PREFIX).lower()] = (key, env[key])
    return found


def _require_known(key: str, known: Iterable[str], where: str) -> None:
    if key in known:
        return
    near = difflib.get_close_matches(key, known, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise ValueError(f"{where} is no setting{hint}")


def _fault(found: ErrorDetails, told: Mapping[str, tuple[str, Any]]) -> str:
    """One line about one value that does not fit, without the value of what may be secret."""
    name = str(found["loc"][0])
    where = told[name][0] if name in told else name
    shown = "" if name == "broker" else f", not {found['input']!r:.60}"
    message = found["msg"]
    if found["type"] == "string_pattern_mismatch":
        field: Any = Settings.__pydantic_fields__[name]  # type: ignore[attr-defined]
        message = f"is not what is expected ({field.description.replace('`', '')})"
    return f"{where}: {message}{shown}"


def _split(names: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in names.split(",") if name.strip())


def loopback(host: str) -> bool:
    """Whether an address is of this machine alone."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
