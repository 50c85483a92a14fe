"""Where a configuration's API key is asked for: each source on its own, the next when one fails."""

from __future__ import annotations

import trio

from ddx_agent.config import load_config
from ddx_agent.config.file import ConfigFile
from ddx_agent.secrets import key_of
from ddx_core.intake import ApiKey
from tests.support.aws import open_aws


async def test_a_bad_ciphertext_makes_room_for_the_other_spelling_s() -> None:
    async with open_aws() as server:
        environ = server.environ | {
            "DD_KMS_API_KEY": server.encrypt("x", function_name="another"),
            "DD_API_KEY_KMS_ENCRYPTED": server.encrypt("good"),
            "DD_API_KEY": "leftover",
        }
        key = key_of(load_config(environ, file=ConfigFile()).config, environ)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(key.run)
            with trio.fail_after(20):
                while (found := await key.get()) is None:
                    pass
            nursery.cancel_scope.cancel()
        assert found == ApiKey("good")
        assert key.state == "from DD_API_KEY_KMS_ENCRYPTED"


def test_each_spelling_of_the_ciphertext_is_a_source_to_ask() -> None:
    for name in ("DD_KMS_API_KEY", "DD_API_KEY_KMS_ENCRYPTED"):
        assert load_config({name: "AQIC"}, file=ConfigFile()).config.api_key.is_asked_for


def test_the_environment_s_ciphertext_stands_in_place_of_the_file_s() -> None:
    file = ConfigFile("f", {"kms_api_key": "old"})
    api_key = load_config({"DD_API_KEY_KMS_ENCRYPTED": "new"}, file=file).config.api_key
    assert (api_key.kms, api_key.kms_encrypted) == (None, "new")
