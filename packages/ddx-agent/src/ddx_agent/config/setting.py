"""What a setting is: its names, how it is read, its default and one sentence on what it does.

Plain classes, because this is read at every cold start; `ddx_agent.config.model` makes the pydantic model of the same
settings for whoever has time: `ddx config`, `ddx doctor`, the JSON Schema for editors, the tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from .parse import Parser, patterns


class Setting:
    """`variables` are spellings of one name, the first set one counts. `general` is asked when none is set in any source."""

    __slots__ = ("about", "default", "general", "is_secret", "parse", "variables", "yaml")

    def __init__(
        self,
        variables: tuple[str, ...],
        *,
        default: object,
        parser: Parser,
        about: str,
        yaml: str | None,
        general: str | None,
        is_secret: bool,
    ) -> None:
        self.variables = variables
        self.default = default
        self.parse = parser
        self.about = about
        self.yaml = variables[0].removeprefix("DD_").lower() if yaml is None else yaml
        self.general = general
        self.is_secret = is_secret

    @property
    def paths(self) -> tuple[str, ...]:
        """Where it stands in datadog.yaml, the strongest first; nothing for what stands in the environment alone."""
        return tuple(path for path in (self.yaml, self.general_path) if path)

    @property
    def general_path(self) -> str:
        """Where `general` stands there; empty when there is none."""
        return "" if self.general is None else self.general.removeprefix("DD_").lower()

    @property
    def reads_quotes(self) -> bool:
        """Whether double quotes mean something to its parser: they hold a pattern with commas together."""
        return self.parse is patterns


def setting(
    *variables: str,
    default: object,
    parser: Parser,
    about: str,
    yaml: str | None = None,
    general: str | None = None,
    is_secret: bool = False,
) -> Any:
    """One field of a Section. `yaml` is its path in datadog.yaml, dots between the keys; unless given, the variable's name
    without DD_. An empty path keeps it out of the file. `general`: a variable for several settings, weaker than each one's own
    in whatever source."""
    return Setting(
        variables, default=default, parser=parser, about=about, yaml=yaml, general=general, is_secret=is_secret
    )


class Section:
    """Settings that belong together, as frozen values. Subclasses list them: `name: type = setting(...)`."""

    title: ClassVar[str]
    settings: ClassVar[Mapping[str, Setting]] = {}
    one_source: ClassVar[tuple[tuple[str, ...], ...]] = ()
    """Groups of settings that mean something together: of each group only what the strongest source says counts."""

    def __init_subclass__(cls) -> None:
        cls.settings = {name: value for name, value in vars(cls).items() if isinstance(value, Setting)}
        for name, value in cls.settings.items():
            setattr(cls, name, value.default)

    def __init__(self, **values: object) -> None:
        unknown = values.keys() - self.settings.keys()
        if unknown:
            raise TypeError(f"{type(self).__name__} has no setting {', '.join(sorted(unknown))}")
        self.__dict__.update(values)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} is read only")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.values() == other.values()  # type: ignore[attr-defined]

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """The names of what is set, without values: any of them may come from a secret."""
        return f"{type(self).__name__}({', '.join(self.__dict__)})"

    def values(self) -> dict[str, Any]:
        """Every setting's value by its field name."""
        return {name: getattr(self, name) for name in self.settings}
