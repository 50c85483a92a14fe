"""Additional endpoints: every payload of a signal goes to these as well (dual shipping). Pure."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgspec

from . import parse
from .parse import Partly, Raw


class AdditionalEndpoint(msgspec.Struct, frozen=True):
    """A base URL without path and a key of its own. `is_reliable`: its data is kept and retried like the primary's."""

    base_url: str
    api_key: str
    is_reliable: bool = True

    def __repr__(self) -> str:
        return f"AdditionalEndpoint({self.base_url})"


def endpoint_map(*, path: str = "") -> parse.Parser:
    """`{"https://host": ["key", ...]}`, as JSON text or as a map. `path` is cut off a URL that was written in full."""
    form = 'a map of URLs to lists of API keys, like {"https://host": ["key"]}'

    def read(raw: Raw) -> Partly:
        tree: dict[str, Any] = _tree(raw, dict, form)
        endpoints: list[AdditionalEndpoint] = []
        problems: list[str] = []
        for number, (address, keys) in enumerate(tree.items(), 1):
            try:
                base_url = parse.url(address)
                cleaned, left_out = _keys(keys)
            except ValueError as error:
                problems.append(f"entry {number}: {error}")
                continue
            problems.extend(f"entry {number}: {problem}" for problem in left_out)
            if base_url is not None:
                endpoints.extend(AdditionalEndpoint(base_url.removesuffix(path), key) for key in cleaned)
        return Partly(tuple(endpoints), tuple(problems))

    return read


def url_without(path: str) -> parse.Parser:
    """A base URL; `path` is cut off one that was written in full."""

    def read(raw: Raw) -> str | None:
        url = parse.url(raw)
        return url.removesuffix(path) if url else url

    return read


def logs_endpoints(raw: Raw) -> Partly:
    """`[{"api_key": "key", "Host": "host", "Port": 443, "is_reliable": true}]`, names in any letter case."""
    form = 'a list of endpoints, like [{"api_key": "key", "Host": "host", "Port": 443, "is_reliable": true}]'
    tree: list[Any] = _tree(raw, list, form)
    endpoints: list[AdditionalEndpoint] = []
    problems: list[str] = []
    for number, entry in enumerate(tree, 1):
        try:
            endpoints.append(_logs_endpoint(entry))
        except ValueError as error:
            problems.append(f"entry {number}: {error}")
    return Partly(tuple(endpoints), tuple(problems))


def _logs_endpoint(entry: Any) -> AdditionalEndpoint:
    if not isinstance(entry, dict):
        raise ValueError("expected a map with api_key, Host and Port")
    fields: dict[str, Any] = {str(name).lower(): value for name, value in entry.items()}  # type: ignore[misc]
    key = fields.get("api_key")
    cleaned = parse.secret(key) if isinstance(key, str) else None
    if not cleaned:
        raise ValueError("api_key is missing")
    host = fields.get("host")
    if not isinstance(host, str) or not parse.is_host(host.strip()):
        raise ValueError("Host is missing or no host name (it has no https:// and no path)")
    port = parse.whole_number(1, 65535)(str(fields.get("port", 443)))
    scheme = "https" if _flag(fields, "use_ssl", default=True) else "http"
    return AdditionalEndpoint(f"{scheme}://{host.strip()}:{port}", cleaned, _flag(fields, "is_reliable", default=True))


def _flag(fields: dict[str, Any], name: str, *, default: bool) -> bool:
    value = fields.get(name)
    if value is None:
        return default
    if isinstance(value, str):
        return parse.boolean(value)
    if isinstance(value, bool):
        return value
    raise ValueError(f"{name}: expected true or false")


def _keys(written: Any) -> tuple[list[str], list[str]]:
    """The keys, and what is wrong with those left out."""
    keys: list[Any] = [written] if isinstance(written, str) else written
    if not isinstance(written, (str, list)) or not keys:
        raise ValueError("expected a list of API keys")
    cleaned = [_key(each) for each in keys]
    problems = [f"expected an API key as text in place {place}" for place, key in enumerate(cleaned, 1) if key is None]
    return [key for key in cleaned if key is not None], problems


def _key(written: Any) -> str | None:
    with suppress(ValueError):
        return parse.secret(written) if isinstance(written, str) else None
    return None


def _tree(raw: Raw, kind: type[Any], form: str) -> Any:
    tree: Any = raw
    if isinstance(raw, str):
        try:
            tree = msgspec.json.decode(raw)
        except (msgspec.MsgspecError, RecursionError):
            raise ValueError(f"expected JSON: {form}") from None
    if isinstance(tree, kind):
        return tree
    raise ValueError(f"expected {form}")
