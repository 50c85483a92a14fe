"""The settings as a pydantic model, for whoever has time: validation of types, and the JSON Schema that editors understand.

Not imported by the extension: importing pydantic and building the model costs it 120 ms of CPU and 7 MiB at each cold start.
"""

from __future__ import annotations

import typing
from typing import Any

import msgspec
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, create_model

from ddx_core.flush import Strategy
from ddx_logs.rules import Rule

from .endpoints import AdditionalEndpoint
from .schema import Config, section_types
from .setting import Section


def model_of(section: type[Section]) -> type[BaseModel]:
    """A strict pydantic model with the fields, types, defaults and descriptions of a section."""
    types = typing.get_type_hints(section)
    fields: dict[str, Any] = {
        name: (types[name], Field(default=setting.default, description=setting.about))
        for name, setting in section.settings.items()
    }
    config = ConfigDict(frozen=True, extra="forbid", strict=True, arbitrary_types_allowed=True)
    return create_model(section.__name__, __config__=config, **fields)


def validate(config: Config) -> None:
    """Raises pydantic.ValidationError when a value has not the type that its setting declares."""
    for name, section in section_types.items():
        model_of(section).model_validate(getattr(config, name).values())


def json_schema() -> str:
    """JSON Schema of datadog.yaml: what an editor needs to complete keys and to show what they do."""
    schema: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "datadog.yaml as ddx reads it",
        "type": "object",
        "properties": {},
    }
    for section in section_types.values():
        types = typing.get_type_hints(section)
        for name, setting in section.settings.items():
            for path in setting.paths:
                *parents, last = path.split(".")
                node = schema["properties"]
                for key in parents:
                    node = node.setdefault(key, {"type": "object", "properties": {}})["properties"]
                # One that stands for several settings is described by the first of them.
                node.setdefault(last, {"description": setting.about, **_form(types[name])})
    return msgspec.json.format(msgspec.json.encode(schema), indent=2).decode() + "\n"


def _form(kind: Any) -> dict[str, Any]:
    """What is written for a value of this type, which need not be what it becomes."""
    if typing.get_origin(kind) is tuple:
        if {AdditionalEndpoint, Rule} & set(typing.get_args(kind)):
            return {"type": ["object", "array"]}
        return {"type": ["array", "string"], "items": {"type": "string"}}
    if kind is Strategy:
        return {"type": "string"}
    if kind in (str, str | None):
        # `version: 1.10` is taken as it is written.
        return {"type": ["string", "number", "boolean", "null"]}
    return TypeAdapter[Any](kind).json_schema()
