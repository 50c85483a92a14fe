"""Keys and settings that stand in AWS, with the real extension: no start waits for them, and nothing is lost meanwhile."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from ddx_agent.local.intake.keys import key_end
from ddx_core.http import Request, Response, Route, Routes, json, open_tcp_listener, serve_http
from tests.support.extension_world import World, api_key, open_world

pytestmark = pytest.mark.system

arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:datadog"
old_key, new_key = "a" * 28 + "0001", "b" * 28 + "0002"
credentials = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "token"}


class Vault:
    """Secrets Manager and KMS in one: `secrets` by ARN; while `is_down` it answers 500. It asks for a signature, unchecked."""

    def __init__(self) -> None:
        self.secrets: dict[str, str] = {}
        self.is_down = False
        self.targets: list[str] = []
        self.url = ""

    @property
    def settings(self) -> dict[str, str]:
        return credentials | {"AWS_ENDPOINT_URL": self.url}

    async def answer(self, request: Request) -> Response:
        target = request.headers.get("x-amz-target") or ""
        self.targets.append(target)
        assert (request.headers.get("authorization") or "").startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
        body: dict[str, Any] = msgspec.json.decode(request.body)
        if self.is_down:
            return json({}, 500)
        if target.endswith("Decrypt"):
            return json({"Plaintext": base64.b64encode(base64.b64decode(body["CiphertextBlob"])[::-1]).decode()})
        found = self.secrets.get(body["SecretId"])
        if found is None:
            return json({"__type": "ResourceNotFoundException"}, 400)
        return json({"SecretString": found})


@asynccontextmanager
async def open_vault() -> AsyncGenerator[Vault]:
    vault = Vault()
    listener = await open_tcp_listener("127.0.0.1", 0)
    vault.url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_http, [listener], Routes([Route(("POST",), "/", vault.answer)]))
        yield vault
        nursery.cancel_scope.cancel()


def keys_seen(world: World) -> set[str | None]:
    return {each.key_end for each in world.intake.store.requests()}


async def test_the_key_comes_from_a_secret_and_reaches_every_signal(tmp_path: Path) -> None:
    async with open_vault() as vault:
        vault.secrets[arn] = msgspec.json.encode({"dd_api_key": new_key}).decode()
        settings = vault.settings | {"DD_API_KEY_SECRET_ARN": arn, "DD_API_KEY": ""}
        async with open_world(tmp_path, settings=settings) as world:
            await world.tell("i0", lines=2, metrics=5, spans=3)
            await world.end()
            assert keys_seen(world) == {key_end(new_key)}
            world.assert_everything_arrived_once()
        assert vault.targets == ["secretsmanager.GetSecretValue"]


async def test_a_refused_key_is_asked_for_anew_and_no_payload_is_lost(tmp_path: Path) -> None:
    async with open_vault() as vault:
        vault.secrets[arn] = old_key
        async with open_world(tmp_path, settings=vault.settings | {"DD_API_KEY_SECRET_ARN": arn}) as world:
            await world.tell("i0", lines=2, metrics=5, spans=3)
            vault.secrets[arn] = new_key
            world.intake.script.refused_keys = {old_key}
            await world.tell("i1", lines=2, metrics=5, spans=3)
            await world.tell("i2", lines=2, metrics=5, spans=3)
            await world.end()
            world.assert_everything_arrived_once()
            assert keys_seen(world) == {key_end(old_key), key_end(new_key)}
        assert len(vault.targets) == 2


async def test_data_waits_for_a_key_that_comes_late(tmp_path: Path) -> None:
    async with open_vault() as vault:
        vault.secrets[arn] = new_key
        vault.is_down = True
        settings = vault.settings | {"DD_API_KEY_SECRET_ARN": arn, "DD_API_KEY": ""}
        async with open_world(tmp_path, settings=settings, freeze=False) as world:
            result = await world.tell("i0", lines=2, metrics=5, spans=3)
            assert result.overhead_ms < 3000
            assert not world.intake.store.logs()
            vault.is_down = False
            with trio.fail_after(10):
                await world.intake.wait_for(lambda store: store.logs(contains="i0 line"))
            await world.tell("i1", lines=2, metrics=5, spans=3)
            await world.end()
            world.assert_everything_arrived_once()


async def test_the_next_source_stands_in_for_one_that_fails(tmp_path: Path) -> None:
    async with open_vault() as vault:
        settings = vault.settings | {"DD_API_KEY_SECRET_ARN": arn}
        async with open_world(tmp_path, settings=settings) as world:
            await world.tell("i0", lines=2)
            await world.end()
            assert keys_seen(world) == {key_end(api_key)}
            world.assert_everything_arrived_once()


async def test_any_setting_may_stand_in_a_secret(tmp_path: Path) -> None:
    async with open_vault() as vault:
        vault.secrets[arn] = "team:hidden"
        settings = vault.settings | {
            "DD_TAGS": "team:plain",
            "DD_TAGS_SECRET_ARN": arn,
            "DD_ENV_KMS_ENCRYPTED": base64.b64encode(b"dorp").decode(),
            "DD_SERVICE_SECRET_ARN": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:gone",
            "DD_SERVICE": "as-it-was",
        }
        async with open_world(tmp_path, settings=settings) as world:
            await world.tell("i0", lines=1)
            await world.end()
            (line,) = world.intake.store.logs(contains="i0 line")
            assert {"team:hidden", "env:prod", "service:as-it-was"} <= set(line.tags)


async def test_no_line_leaves_unmasked_when_the_rules_could_not_be_had(tmp_path: Path) -> None:
    async with open_vault() as vault:
        settings = vault.settings | {"DD_LOGS_CONFIG_PROCESSING_RULES_SECRET_ARN": arn}
        async with open_world(tmp_path, settings=settings) as world:
            await world.tell("i0", lines=2, metrics=5)
            await world.end()
            assert not world.intake.store.logs(contains="i0 line")
