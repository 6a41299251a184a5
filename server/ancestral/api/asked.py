"""How the routes that take items say in the OpenAPI document what they read (`api.inputs`)."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from ancestral.api.inputs import FILE_TYPES, FORM
from ancestral.api.results import JSON
from ancestral.api.schemas import ItemOptions

FILE = {"schema": {"type": "string", "format": "binary"}}


def asked(body: type[BaseModel], options: type[ItemOptions]) -> dict[str, Any]:
    """A request in JSON, as files in a form, or as one raw file with its options in the query."""
    fields = _fields(options)
    files = {"type": "array", "items": FILE["schema"]}
    form = {
        "type": "object",
        "required": ["model", "file"],
        "properties": {**fields, "file": files},
    }
    return {
        "requestBody": {
            "required": True,
            "content": {
                JSON: {"schema": {"$ref": f"#/components/schemas/{body.__name__}"}},
                FORM: {"schema": form},
                **dict.fromkeys(FILE_TYPES, FILE),
            },
        },
        "parameters": [
            {"name": name, "in": "query", "schema": schema, "description": "with a raw body"}
            for name, schema in fields.items()
        ],
    }


def _fields(options: type[ItemOptions]) -> dict[str, Any]:
    """The options as fields of a form: one value each, or a text that holds several."""
    found = {}
    for name, schema in options.model_json_schema()["properties"].items():
        (kind,) = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
        says = schema.get("description", "")
        if kind["type"] == "array":
            kind, says = {"type": "string"}, "names, separated by commas"
        elif kind["type"] == "object":
            kind, says = {"type": "string"}, f"JSON: {says}"
        limits = {key: value for key, value in kind.items() if key not in ("title", "default")}
        found[name] = limits | ({"description": says} if says else {})
    return found
