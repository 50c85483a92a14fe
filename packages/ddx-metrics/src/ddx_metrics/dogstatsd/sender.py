"""The sender: what a line says about the container it comes from, as tags. Pure.

The fields are the protocol's v1.2 and later: `c:` names the container (its id, or `ci-<id>` and `in-<inode>` with a comma
between them), `e:` what an admission controller knows of it (`it-<init>,cn-<container>,pu-<pod>`), `card:` how much of that is
wanted. Which tags belong to which cardinality is the Agent's: the container's name is low, its id is high. Pods and inodes
mean something to a node's agent alone.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..settings import Cardinality

_cardinalities = {each.value.encode(): each for each in Cardinality}


def sender_tags(fields: Iterable[bytes], default: Cardinality) -> list[str]:
    """Tags from the fields of a metric, an event or a service check. What is no UTF-8 makes none."""
    wanted = default
    container = name = b""
    for field in fields:
        if field.startswith(b"c:"):
            container = _container_id(field[2:])
        elif field.startswith(b"e:"):
            name = next((part[3:] for part in field[2:].split(b",") if part.startswith(b"cn-")), b"")
        elif field.startswith(b"card:"):
            wanted = _cardinalities.get(field[5:].lower(), default)
    tags: list[str] = []
    if wanted is not Cardinality.NONE:
        tags += _tag("kube_container_name", name)
    if wanted is Cardinality.HIGH:
        tags += _tag("container_id", container)
    return tags


def _tag(key: str, value: bytes) -> list[str]:
    try:
        return [f"{key}:{value.decode()}"] if value else []
    except UnicodeDecodeError:
        return []


def _container_id(text: bytes) -> bytes:
    for part in text.split(b","):
        for prefix in (b"ci-", b"cid-"):
            if part.startswith(prefix):
                return part[len(prefix) :]
    # Older clients write the id alone.
    return b"" if text.startswith(b"in-") else text
