"""Settings that decide where data goes, with the real extension: every endpoint gets everything, under its own key."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from ddx_agent.local.intake.keys import key_end
from ddx_agent.testing import Answer, Intake, hang, open_intake, status
from tests.support.extension_world import World, api_key, open_world

pytestmark = pytest.mark.system

other_key = "f" * 32


async def tell(world: World, numbers: Sequence[int]) -> None:
    for number in numbers:
        await world.tell(f"i{number}", lines=5, metrics=20, spans=10)


def assert_all_of(intake: Intake, numbers: Sequence[int]) -> None:
    for number in numbers:
        assert len(intake.store.logs(contains=f"i{number} line")) == 5
    assert len(intake.store.spans(name="work")) == 10 * len(numbers)
    counts = [
        sum(each.sketch.cnt for each in intake.store.sketches(name=f"i{number}.values") if each.sketch)
        for number in numbers
    ]
    assert counts == [20] * len(numbers)


def everything_also_to(url: str) -> dict[str, str]:
    host, _, port = url.removeprefix("http://").partition(":")
    return {
        "DD_ADDITIONAL_ENDPOINTS": json.dumps({url: [other_key]}),
        "DD_APM_ADDITIONAL_ENDPOINTS": json.dumps({url: [other_key]}),
        "DD_LOGS_CONFIG_ADDITIONAL_ENDPOINTS": json.dumps(
            [{"api_key": other_key, "Host": host, "Port": int(port), "use_ssl": False}]
        ),
    }


async def test_everything_is_shipped_to_both_with_the_key_of_each(tmp_path: Path) -> None:
    async with open_intake() as second, open_world(tmp_path, settings=everything_also_to(second.url)) as world:
        await tell(world, range(3))
        await world.end()
        assert_all_of(world.intake, range(3))
        assert_all_of(second, range(3))
        world.assert_everything_arrived_once()
        assert {each.key_end for each in world.intake.store.requests()} == {key_end(api_key)}
        assert {each.key_end for each in second.store.requests()} == {key_end(other_key)}


@pytest.mark.parametrize("trouble", [hang, status(503)], ids=["hangs", "503"])
async def test_one_endpoint_in_trouble_neither_delays_nor_loses_the_others_data(
    tmp_path: Path, trouble: Answer
) -> None:
    async with open_intake() as second, open_world(tmp_path, settings=everything_also_to(second.url)) as world:
        second.script.replace([trouble] * 200)
        await tell(world, range(5))
        assert_all_of(world.intake, range(5))
        second.script.clear()
        await tell(world, [5])
        await world.end()
        assert_all_of(world.intake, range(6))
        assert_all_of(second, range(6))
        world.assert_everything_arrived_once()


async def test_profiles_are_shipped_to_both_even_while_one_is_down(tmp_path: Path) -> None:
    async with open_intake() as second:
        settings = {"DD_APM_PROFILING_ADDITIONAL_ENDPOINTS": json.dumps({second.url: [other_key]})}
        async with open_world(tmp_path, settings=settings) as world:
            second.script.replace([status(503)] * 100)
            for number in range(3):
                await world.tell(f"i{number}", profiles=2)
            assert len(world.intake.store.requests(kind="profile")) == 6
            second.script.clear()
            await world.end()
            wanted = {f"i{number} profile {each}".encode() for number in range(3) for each in range(2)}
            for intake, key in ((world.intake, api_key), (second, other_key)):
                assert {each.body for each in intake.store.raw(kind="profile")} == wanted
                accepted = [each for each in intake.store.requests(kind="profile") if each.accepted]
                assert [each.key_end for each in accepted] == [key_end(key)] * 6
            for account in ("profiles", "profiles@profiles-2"):
                assert world.account(account)["delivered"]["items"] == 6


async def test_settings_come_from_datadog_yaml(tmp_path: Path) -> None:
    async with open_intake() as second:
        (tmp_path / "datadog.yaml").write_text(
            f"env: from-the-file\nversion: 1.10\ntags: [team:web]\nadditional_endpoints: {{'{second.url}': [{other_key}]}}\n"
        )
        settings = {
            "DD_CONFIG_FILE": str(tmp_path / "datadog.yaml"),
            "DD_ENV": "from-the-environment",
            "DD_EXTRA_TAGS": "more:tags",
            "DD_DOGSTATSD_TAGS": "team:weaker only:metrics",
        }
        async with open_world(tmp_path, settings=settings) as world:
            await tell(world, [0])
            await world.end()
            (line, *_) = world.intake.store.logs(contains="i0 line")
            everywhere = {"env:from-the-environment", "version:1.10", "team:web", "more:tags"}
            assert everywhere <= set(line.tags)
            assert "only:metrics" not in line.tags
            (sketch, *_) = second.store.sketches(name="i0.values")
            assert everywhere | {"only:metrics"} <= set(sketch.tags)
            assert "team:weaker" not in sketch.tags
            assert not second.store.logs()


async def test_an_observability_pipelines_worker_gets_the_logs_and_nothing_else(tmp_path: Path) -> None:
    async with open_intake() as worker:
        settings = {
            "DD_OBSERVABILITY_PIPELINES_WORKER_LOGS_ENABLED": "true",
            "DD_OBSERVABILITY_PIPELINES_WORKER_LOGS_URL": f"{worker.url}/api/v2/logs?source=lambda",
        }
        async with open_world(tmp_path, settings=settings) as world:
            await tell(world, [0])
            await world.end()
            assert len(worker.store.logs(contains="i0 line")) == 5
            assert {each.encoding for each in worker.store.requests()} == {"identity"}
            assert not world.intake.store.logs()
            assert world.intake.store.spans(name="work")


async def test_lines_are_collected_of_those_named_alone_and_metrics_of_all(tmp_path: Path) -> None:
    async with open_world(tmp_path, settings={"DD_LOGS_CONFIG_LAMBDA_LOGS_TYPE": "function"}) as world:
        await tell(world, [0])
        await world.end()
        assert len(world.intake.store.logs(contains="i0 line")) == 5
        assert not world.intake.store.logs(contains="RequestId:")
        assert world.intake.store.sketches(name="aws.lambda.enhanced.runtime_duration")


async def test_processing_rules_filter_and_mask_and_gzip_is_to_be_had(tmp_path: Path) -> None:
    rules = [
        {"type": "exclude_at_match", "name": "third", "pattern": "line 3$"},
        {"type": "exclude_at_match", "name": "bad", "pattern": "("},
        {"type": "mask_sequences", "name": "number", "pattern": r"(line )\d", "replace_placeholder": "${1}*"},
    ]
    settings = {"DD_LOGS_CONFIG_PROCESSING_RULES": json.dumps(rules), "DD_LOGS_CONFIG_COMPRESSION_KIND": "gzip"}
    async with open_world(tmp_path, settings=settings) as world:
        await world.tell("i0", lines=5)
        await world.end()
        assert world.lines_of("i0") == ["i0 line *"] * 4
        assert {each.encoding for each in world.intake.store.requests(kind="logs")} == {"gzip"}
        assert world.account("logs")["dropped"]["filtered"]["items"] == 1
        assert any("DD_LOGS_CONFIG_PROCESSING_RULES" in line and "rule 2" in line for line in world.said)


async def test_nothing_in_the_settings_stops_the_function(tmp_path: Path) -> None:
    settings = {
        "DD_SITE": "no site!",
        "DD_LOGS_CONFIG_PROCESSING_RULES": "][",
        "DD_ADDITIONAL_ENDPOINTS": '{"ftp://x": ["k"], "http://127.0.0.1:1": 5}',
        "DD_TLS_CERT_FILE": "/nowhere.pem",
        "DD_CONFIG_FILE": "/proc/self/mem",
        "DD_FLUSH_TIMEOUT": "-1",
        "DD_TAGS": "\udcff:\udcfe",
        "DD_PROXY_HTTPS": "::::",
        "DD_STIE": "datadoghq.eu",
        "DD_SERVERLESS_FLUSH_STRATEGY": "end",
    }
    async with open_world(tmp_path, settings=settings) as world:
        await tell(world, range(2))
        await world.end()
        assert_all_of(world.intake, range(2))
        world.assert_everything_arrived_once()
