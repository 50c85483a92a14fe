"""Every complaint of the configuration is a finding, by how much it matters."""

from __future__ import annotations

from typing import Any

import pytest

from ddx_agent.config import load_config
from ddx_agent.config.file import ConfigFile
from ddx_agent.doctor.findings import Finding, Level
from ddx_agent.doctor.settings import judge_settings


def judge(**environ: str) -> list[Finding]:
    return judge_settings(load_config(environ, file=ConfigFile()), environ)


@pytest.mark.parametrize(
    ("environ", "level", "said"),
    [
        ({}, Level.OK, "nothing is set"),
        ({"DD_ENV": "prod", "DD_SERVICE": "orders"}, Level.OK, "2 settings set"),
        ({"DD_FLUSH_TIMEOUT": "5s"}, Level.WARNING, "DD_FLUSH_TIMEOUT: expected seconds"),
        ({"DD_TAGS": "env:a", "DD_ENV": "b"}, Level.WARNING, "differs from DD_ENV"),
        ({"DD_OBSERVABILITY_PIPELINES_WORKER_LOGS_ENABLED": "1"}, Level.ERROR, "no logs are shipped"),
        ({"DD_FLUSHING_STRATEGY": "end"}, Level.NOTE, "use DD_SERVERLESS_FLUSH_STRATEGY"),
        ({"DD_LOG_LEVL": "debug"}, Level.WARNING, "did you mean DD_LOG_LEVEL?"),
        ({"DD_APM_RECEIVER_PORT": "abc"}, Level.WARNING, "DD_APM_RECEIVER_PORT: expected a port number"),
        ({"DD_SITE": "app.datadoghq.eu"}, Level.WARNING, "no"),
        ({"DD_SITE": "us5.datadoghq.com"}, Level.OK, "1 setting set"),
        ({"DD_SITE": "datadoghq.example"}, Level.NOTE, "none of Datadog's public sites"),
        ({"DD_SITE": "ap9.datadoghq.com"}, Level.NOTE, "none of Datadog's public sites"),
    ],
)
def test_a_setting_is_judged(environ: dict[str, str], level: Level, said: str) -> None:
    (only,) = judge(**environ)
    assert only.level is level
    assert said in only.text
    assert only.help or level is Level.OK


def test_the_host_of_a_site_is_answered_with_the_site() -> None:
    (only,) = judge(DD_SITE="app.us3.datadoghq.com")
    assert only.help == "set DD_SITE=us3.datadoghq.com"


@pytest.mark.parametrize(
    ("tree", "level", "said"),
    [
        ({"lg_level": "debug"}, Level.WARNING, "did you mean log_level?"),
        ({"logs_config": "x"}, Level.WARNING, "expected a section with keys and values"),
        ({"service_mapping": "a:b"}, Level.NOTE, "no invocation spans yet"),
        ({"hostname": "h"}, Level.OK, "nothing is set"),
    ],
)
def test_a_key_of_the_file_is_judged_like_a_variable(tree: dict[str, Any], level: Level, said: str) -> None:
    (only,) = judge_settings(load_config({}, file=ConfigFile("datadog.yaml", tree)), {})
    assert only.level is level
    assert said in only.text
