"""Logs of a process: text or JSON lines, with request and job ids, without secrets."""

from __future__ import annotations

import json
import logging
import re
from contextvars import ContextVar

from ancestral.settings import Settings

current_request: ContextVar[str] = ContextVar("current_request", default="")
_SECRETS = re.compile(
    r"(anc_[a-z0-9]{8}_)[\w-]+"  # keys
    r"|([?&]token=|ancestral\.token\.)[\w%-]+"
    r"|(\b[Bb]earer )\S+"
    r"|(\w://[^\s:/@]*:)[^\s/]*(?=@)"  # a broker's password
)


def redact(text: str) -> str:
    """The text with an ellipsis in place of every key, token and password."""
    return _SECRETS.sub(lambda found: f"{next(filter(None, found.groups()))}…", text)


class TextLines(logging.Formatter):
    """For people."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


class JsonLines(logging.Formatter):
    """Log records as one JSON object a line, with request and job ids where they are known.

    A job's id stands beside its request's in the line that tells of its submission.
    """

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if current_request.get():
            line["request_id"] = current_request.get()
        for name in ("request_id", "job", "model", "path", "status", "key"):
            if hasattr(record, name):
                line[name] = getattr(record, name)
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return redact(json.dumps(line, ensure_ascii=False))


def set_up_logs(settings: Settings) -> None:
    """Logs on standard error, as text or as JSON lines."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if settings.log_format == "json" else TextLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
