"""The settings as a pydantic model, for whoever has time: validation of types, and the JSON Schema that editors understand.

Not imported by the extension: importing pydantic and building the model costs it 120 ms of CPU and 7 MiB at each cold start.
"""

from __future__ import annotations

import typing
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, create_model

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
