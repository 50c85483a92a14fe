"""The whole examination against local servers: what it finds, what it asks, what it never tells."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st

from ddx_agent.commands import run_command
from ddx_agent.config.file import ConfigFile
from ddx_agent.doctor.examine import Place, examine
from ddx_agent.doctor.findings import Finding, Level, exit_code
from ddx_agent.doctor.report import render_json, render_text
from ddx_agent.testing import Ports, open_intake
from ddx_core.http import Request, Response
from ddx_core.http import json as json_response
from tests.support.intake import ScriptedIntake

key = "0123456789abcdef0123456789abcdef"
credentials = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI", "AWS_REGION": "eu-west-1"}


@pytest.fixture(autouse=True, scope="module")
def a_store_of_one_authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """To read all that a system trusts takes longer than an examination, which does it each time."""
    store = tmp_path_factory.mktemp("store") / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(store))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(store))
        yield


def environment(intake: str = "http://127.0.0.1:1", **more: str) -> dict[str, str]:
    """Everything goes to the one intake; ports that are free."""
    urls = dict.fromkeys(("DD_DD_URL", "DD_APM_DD_URL", "DD_LOGS_CONFIG_LOGS_DD_URL"), intake)
    return {**Ports.free().environment(), **urls, **more}


async def look(tmp_path: Path, environ: dict[str, str], **more: Any) -> list[Finding]:
    with trio.fail_after(20):
        return await examine(Place(environ=environ, file=ConfigFile(), root=tmp_path, **more))


def of(findings: list[Finding], check: str) -> list[tuple[Level, str]]:
    return [(finding.level, finding.text) for finding in findings if finding.check == check]


async def test_a_sound_function_has_nothing_to_complain_of(nursery: trio.Nursery, tmp_path: Path) -> None:
    agent = tmp_path / "opt/extensions/datadog-agent"
    agent.parent.mkdir(parents=True)
    agent.touch(0o755)
    async with open_intake() as intake:
        findings = await look(tmp_path, environment(intake.url, DD_API_KEY=key, AWS_LAMBDA_FUNCTION_NAME="orders"))
    assert exit_code(findings) == 0, findings
    assert list(dict.fromkeys(finding.check for finding in findings)) == [
        "settings", "api key", "intakes", "clock", "layer and libraries", "handler", "ports",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("status", "body", "level", "said"),
    [
        (200, b'{"valid":true}', Level.OK, "datadoghq.com accepts it"),
        (403, b'{"errors":["Forbidden"]}', Level.ERROR, "datadoghq.com does not accept the key"),
        (404, b"", Level.WARNING, "datadoghq.com could not be asked about the key (status 404)"),
    ],
)
async def test_the_site_is_asked_about_the_key(
    nursery: trio.Nursery, tmp_path: Path, status: int, body: bytes, level: Level, said: str
) -> None:
    site = await ScriptedIntake(otherwise=Response(status=status, body=body)).start(nursery)
    environ = environment(site.url, DD_API_KEY=key)
    del environ["DD_LOGS_CONFIG_LOGS_DD_URL"]
    findings = await look(tmp_path, {**environ, "DD_PROXY_HTTPS": "http://127.0.0.1:1"}, api_url=site.url)
    assert (level, said) in of(findings, "api key")
    (asked,) = (request for request in site.requests if request.path == "/api/v1/validate")
    assert asked.headers.get("dd-api-key") == key


class Aws:
    """Secrets Manager and KMS: secrets by their name, an error's name for others."""

    def __init__(self, **secrets: str) -> None:
        self._secrets = secrets

    def answer(self, request: Request) -> Response:
        name = json.loads(request.body)["SecretId"]
        if name in self._secrets:
            return json_response({"SecretString": self._secrets[name]})
        return json_response({"__type": name}, 400)


async def test_every_source_of_the_key_is_asked_and_told_by_itself(nursery: trio.Nursery, tmp_path: Path) -> None:
    aws = await ScriptedIntake(otherwise=Aws(key=key).answer).start(nursery)
    environ = environment(AWS_ENDPOINT_URL=aws.url, DD_API_KEY_SECRET_ARN="AccessDeniedException", **credentials)
    refused = next(each for each in await look(tmp_path, environ) if each.check == "api key")
    assert refused.level is Level.ERROR
    assert "AccessDeniedException" in refused.text
    assert "secretsmanager:GetSecretValue" in refused.help
    given_ = of(await look(tmp_path, {**environ, "DD_API_KEY_SECRET_ARN": "key"}), "api key")
    assert [level for level, _ in given_] == [Level.OK, Level.NOTE]
    assert given_[0][1].startswith("DD_API_KEY_SECRET_ARN gives it (")


async def test_settings_behind_secrets_are_resolved_and_used(nursery: trio.Nursery, tmp_path: Path) -> None:
    secrets = {"endpoints": json.dumps({"https://intake.invalid": ["second-key-1234"]})}
    aws = await ScriptedIntake(otherwise=Aws(**secrets).answer).start(nursery)
    findings = await look(
        tmp_path,
        environment(
            AWS_ENDPOINT_URL=aws.url,
            DD_ADDITIONAL_ENDPOINTS_SECRET_ARN="endpoints",
            DD_TAGS_SECRET_ARN="ResourceNotFoundException",
            **credentials,
        ),
    )
    given_, missing = of(findings, "secrets")
    assert given_[0] is Level.OK
    assert given_[1].startswith("DD_ADDITIONAL_ENDPOINTS_SECRET_ARN gives DD_ADDITIONAL_ENDPOINTS (")
    assert missing[0] is Level.WARNING
    assert any("https://intake.invalid: dns failed" in text for _, text in of(findings, "intakes"))


async def test_an_aws_that_does_not_answer_costs_its_limit(nursery: trio.Nursery, tmp_path: Path) -> None:
    aws = await ScriptedIntake(otherwise="hang").start(nursery)
    environ = environment(AWS_ENDPOINT_URL=aws.url, DD_API_KEY_SECRET_ARN="a", DD_TAGS_SECRET_ARN="b", **credentials)
    findings = await look(tmp_path, environ, timeout_s=0.2)
    assert of(findings, "api key") == [(Level.ERROR, "DD_API_KEY_SECRET_ARN: no answer within 0.2 s")]
    assert of(findings, "secrets") == [
        (Level.WARNING, "DD_TAGS_SECRET_ARN: no answer within 0.2 s; DD_TAGS stays as it was")
    ]


async def test_offline_nothing_is_asked(nursery: trio.Nursery, tmp_path: Path) -> None:
    server = await ScriptedIntake().start(nursery)
    environ = environment(
        server.url, AWS_ENDPOINT_URL=server.url, DD_API_KEY_SECRET_ARN="a", DD_TAGS_SECRET_ARN="b", **credentials
    )
    findings = await look(tmp_path, environ, is_offline=True, api_url=server.url)
    assert exit_code(findings) == 0
    assert server.requests == []


async def test_a_certificate_file_of_no_use_is_an_error(tmp_path: Path) -> None:
    environ = environment(DD_TLS_CERT_FILE=str(tmp_path / "none.pem"))
    (level, text), _ = of(await look(tmp_path, environ, is_offline=True), "intakes")
    assert level is Level.ERROR
    assert "none.pem: No such file or directory" in text


async def test_a_check_that_fails_itself_costs_itself(tmp_path: Path) -> None:
    # Half a character, which no AWS signature can be made of.
    environ = environment(DD_API_KEY_SECRET_ARN="a", **{**credentials, "AWS_ACCESS_KEY_ID": "\udcff"})
    findings = await look(tmp_path, environ)
    assert of(findings, "api key")[0][0] is Level.ERROR
    assert len(of(findings, "ports")) == 4
    render_text(findings)
    render_json(findings, version="1")


words = st.text(st.sampled_from("0123456789abcdefXYZ@:/#% "), min_size=12, max_size=24).map(lambda word: f"s3cr{word}")


@given(st.data())
@settings(max_examples=25)
def test_no_secret_is_in_any_output(data: st.DataObject) -> None:
    names = (
        "DD_API_KEY", "DD_KMS_API_KEY", "DD_ADDITIONAL_ENDPOINTS", "DD_LOGS_CONFIG_ADDITIONAL_ENDPOINTS", "DD_PROXY_HTTPS",
        "HTTP_PROXY", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "DD_TAGS_KMS_ENCRYPTED", "DD_API_KY", "DATADOG_API_KEY",
    )  # fmt: skip
    secrets = {name: data.draw(words) for name in names}
    shapes = {
        "DD_ADDITIONAL_ENDPOINTS": '{{"https://api.datadoghq.eu": ["{0}"], "bad url": ["{0}"]}}',
        "DD_LOGS_CONFIG_ADDITIONAL_ENDPOINTS": '[{{"api_key": "{0}", "Host": "a b"}}, {{"api_key": "{0}", "Host": "a"}}]',
        "DD_PROXY_HTTPS": "http://user:{0}@127.0.0.1:1",
        "HTTP_PROXY": "ftp://user:{0}@127.0.0.1:1",
    }
    environ = environment() | {name: shapes.get(name, "{0}").format(secret) for name, secret in secrets.items()}

    async def run() -> list[Finding]:
        place = Place(environ=environ, file=ConfigFile(), root=Path("/nowhere"), is_offline=True)
        return await examine(place)

    findings = trio.run(run)
    output = render_text(findings, width=10_000) + render_json(findings, version="1")
    for name, secret in secrets.items():
        assert secret not in output, name
        assert "".join(secret.split()) not in output, name


def test_the_command_tells_the_worst_finding_by_its_exit_code(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    path = tmp_path / "environment"
    path.write_text("\n".join(f"{name}={value}" for name, value in environment(DD_API_KEY=key).items()))
    arguments = ["doctor", "--offline", "--env", str(path)]
    assert run_command(arguments) == 0
    assert b"all is well" in capfdbinary.readouterr().out
    with path.open("a") as file:
        file.write("\nDD_LOG_LEVL=debug\n")
    assert run_command([*arguments, "--json"]) == 1
    document = json.loads(capfdbinary.readouterr().out)
    assert document["exit_code"] == 1
    assert key not in str(document)


@pytest.mark.parametrize("arguments", [["--env", "/nowhere/at/all"], ["--timeout", "nan"], ["--timeout", "0"]])
def test_what_cannot_be_used_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["doctor", "--offline", *arguments]) == 2
    assert capsys.readouterr().err.startswith("ddx doctor: ")


@pytest.mark.parametrize(("in_file", "is_asked"), [("", True), ("\nAWS_SESSION_TOKEN=of-the-file", False)])
def test_own_credentials_stand_in_for_the_roles_unless_the_file_has_some(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
    in_file: str,
    is_asked: bool,
) -> None:
    for name, value in credentials.items():
        monkeypatch.setenv(name, value)
    path = tmp_path / "environment"
    more = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "DD_API_KEY_SECRET_ARN": "a"}
    path.write_text("\n".join(f"{name}={value}" for name, value in environment(**more).items()) + in_file)
    assert run_command(["doctor", "--json", "--env", str(path)]) == 2
    output = capfdbinary.readouterr().out
    assert (b"127.0.0.1 gave ConnectError" in output) is is_asked
    assert (b"there are no AWS credentials" in output) is not is_asked
