"""Which proxy stands before which host, and whom TLS trusts: the rules alone, without a network."""

from __future__ import annotations

import ssl
import subprocess
import sys
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st

from ddx_core.intake import Proxy, ProxyRules, TlsPolicy
from ddx_core.intake.network import parse_no_proxy

through = "http://proxy.test:3128"
intake = "https://http-intake.logs.datadoghq.com"


def goes_directly(url: str, *no_proxy: str) -> bool:
    return ProxyRules(https=through, http=through, no_proxy=no_proxy).proxy_for(url) is None


# --- which hosts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "entry"),
    [
        (intake, "*"),
        (intake, "http-intake.logs.datadoghq.com"),
        (intake, "datadoghq.com"),
        (intake, ".datadoghq.com"),
        (intake, "*.datadoghq.com"),
        (intake, "DataDogHQ.com"),
        (intake, "datadoghq.com."),
        (intake, "datadoghq.com:443"),
        (intake + ".", "datadoghq.com"),
        ("http://HOST.example/path", "host.example:80"),
        ("https://host.example:8443", "host.example:8443"),
        ("https://datadoghq.com", ".datadoghq.com"),
        ("https://10.1.2.3", "10.1.2.3"),
        ("https://10.1.2.3:8443", "10.1.2.3:8443"),
        ("https://10.1.2.3", "10.0.0.0/8"),
        ("https://10.1.2.3", "10.9.9.9/8"),
        ("https://[2001:db8::1]", "2001:db8::1"),
        ("https://[2001:db8:0::1]", "[2001:db8::1]"),
        ("https://[2001:db8::1]:8443", "[2001:db8::1]:8443"),
        ("https://[2001:db8::1]", "2001:db8::/32"),
        ("https://[::ffff:10.1.2.3]", "10.0.0.0/8"),
    ],
)
def test_an_excepted_host_is_reached_directly(url: str, entry: str) -> None:
    assert goes_directly(url, "other.example", entry)
    assert not goes_directly(url, "other.example")


@pytest.mark.parametrize(
    ("url", "entry"),
    [
        (intake, "us3.datadoghq.com"),
        (intake, "hq.com"),
        (intake, "datadoghq"),
        (intake, "datadoghq.com:80"),
        (intake, "https://datadoghq.com"),
        (intake, "10.0.0.0/8"),
        (intake, "."),
        (intake, "*."),
        (intake, ":443"),
        (intake, "datadoghq.com:x"),
        (intake, "[bad"),
        ("https://11.1.2.3", "10.0.0.0/8"),
        ("https://10.1.2.3", ".2.3"),
        ("https://10.1.2.3", "10.0.0.0/99"),
        ("https://10.1.2.3:8443", "10.1.2.3:443"),
        ("https://[2001:db8::1]", "10.0.0.0/8"),
    ],
)
def test_no_other_host_is(url: str, entry: str) -> None:
    assert not goes_directly(url, entry)


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:8126",
        "https://a.localhost",
        "http://127.0.0.1",
        "https://127.8.8.8",
        "http://[::1]:1",
        "https://[::ffff:127.0.0.1]",
    ],
)
def test_this_machine_is_reached_without_any_entry(url: str) -> None:
    assert goes_directly(url)


def test_each_scheme_has_its_own_proxy() -> None:
    rules = ProxyRules(https="https-proxy.test", http=None)
    assert str(rules.proxy_for(intake)) == "http://https-proxy.test:80"
    assert rules.proxy_for("http://intake.test") is None
    assert rules.proxy_for("ftp://intake.test") is None
    for broken in ("", "https://", "https://[::bad", "https://host:99999", "nonsense"):
        assert rules.proxy_for(broken) is None
    assert ProxyRules().proxy_for(intake) is None
    assert ProxyRules(https=" ", http="") == ProxyRules()


label = st.sampled_from(["a", "b", "com", "xa", "datadoghq"])
domain = st.lists(label, min_size=1, max_size=4).map(".".join)
address = st.sampled_from(["10.0.0.1", "10.0.1.1", "192.168.0.1"])
network = st.sampled_from(["10.0.0.0/24", "10.0.0.0/8", "192.168.0.1/32", "0.0.0.0/0"])
port = st.sampled_from([None, 443, 8443])


@given(
    st.one_of(domain, address),
    port,
    st.lists(st.tuples(st.one_of(domain, domain.map(lambda name: "." + name), address, network), port), max_size=4),
)
@settings(max_examples=40, deadline=None)
def test_matching_agrees_with_the_rule_as_one_would_say_it(
    host: str, host_port: int | None, entries: list[tuple[str, int | None]]
) -> None:
    def is_address(text: str) -> bool:
        return text[0].isdigit()

    def covers(entry: str, entry_port: int | None) -> bool:
        if "/" in entry:  # networks have no port
            return is_address(host) and ip_address(host) in ip_network(entry, strict=False)
        if entry_port is not None and entry_port != (host_port or 443):
            return False
        if is_address(host) or is_address(entry):
            return host == entry
        wanted = entry.strip(".").split(".")
        return host.split(".")[-len(wanted) :] == wanted

    texts = [entry if at is None or "/" in entry else f"{entry}:{at}" for entry, at in entries]
    url = f"https://{host}" + (f":{host_port}" if host_port else "")
    assert goes_directly(url, *texts) == any(covers(entry, at) for entry, at in entries)


@given(st.lists(st.text("abc.*:/", min_size=1), max_size=5), st.lists(st.sampled_from([",", " ", "\t", ", ", " ,\n"])))
def test_a_list_may_have_commas_and_white_space_between_its_entries(entries: list[str], between: list[str]) -> None:
    text = "".join(entry + (between[index] if index < len(between) else ",") for index, entry in enumerate(entries))
    assert parse_no_proxy(text) == tuple(entries)
    assert parse_no_proxy(text.upper()) == tuple(entries)


@given(st.text(max_size=30), st.text(max_size=20))
def test_no_entry_and_no_url_breaks_the_matching(entry: str, host: str) -> None:
    goes_directly(f"https://{host}", entry)
    goes_directly(host, entry)


# --- proxies ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "url", "auth"),
    [
        ("my-proxy:3128", "http://my-proxy:3128", None),
        (" my-proxy ", "http://my-proxy:80", None),
        ("HTTPS://My-Proxy/", "https://my-proxy:443", None),
        ("http://[2001:db8::1]:3128/path?x#y", "http://[2001:db8::1]:3128", None),
        ("2001:db8::1", "http://[2001:db8::1]:80", None),
        ("me:secret@my-proxy:3128", "http://my-proxy:3128", ("me", "secret")),
        ("http://me:p%40ss@my-proxy:3128", "http://my-proxy:3128", ("me", "p@ss")),
        ("http://me:p@/#?:ss@my-proxy:3128", "http://my-proxy:3128", ("me", "p@/#?:ss")),
        ("http://me:a://b@my-proxy:3128", "http://my-proxy:3128", ("me", "a://b")),
        ("me:a://b@my-proxy:3128", "http://my-proxy:3128", ("me", "a://b")),
        ("http://me@my-proxy:3128", "http://my-proxy:3128", ("me", "")),
        ("http://@my-proxy:3128", "http://my-proxy:3128", None),
    ],
)
def test_a_proxy_is_read_as_users_write_it(text: str, url: str, auth: tuple[str, str] | None) -> None:
    proxy = Proxy(text)
    assert (proxy.url, str(proxy), proxy.auth) == (url, url, auth)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "http://",
        "http://:3128",
        "socks5://host:1",
        "http://host:0",
        "http://host:99999",
        "http://host:port",
        "http://ho st",
        "http://[::1",
        "http://[host]:1",
        "http://höst",
        "host:1:2",
        "http://host\r\nX: y",
    ],
)
def test_what_is_no_proxy_is_an_error(text: str) -> None:
    with pytest.raises(ValueError):
        Proxy(text)


def test_the_error_names_which_proxy_it_is_about() -> None:
    with pytest.raises(ValueError, match="the proxy for https: the port"):
        ProxyRules(https="http://me:secret@host:port")


secret = st.text(min_size=6, max_size=12).map(lambda text: "S3CR" + text + "T")


@given(
    st.sampled_from(["", "http://", "https://", "socks5://", "HTTP://", "://", "x"]),
    st.text(max_size=5),
    secret,
    st.one_of(st.text(max_size=12), st.sampled_from(["host:3128", "[::1]:3", "host", "host:70000", "[::1", "ho st"])),
)
@settings(max_examples=40, deadline=None)
def test_no_text_of_ours_ever_holds_the_password(scheme: str, user: str, password: str, host: str) -> None:
    shown = ""
    try:
        rules = ProxyRules(https=f"{scheme}{user}:{password}@{host}", no_proxy=["x"])
        shown = f"{rules!r} {rules} {rules.https!r} {rules.https} {rules.https and rules.https.address}"
    except ValueError as error:
        shown = f"{error} {error!r} {error.__cause__!r}"
    assert "S3CR" not in shown


# --- TLS --------------------------------------------------------------------------------------------------------------


def test_certificates_of_a_file_are_added_to_the_systems(tmp_path: Path) -> None:
    first, second = trustme.CA(), trustme.CA()
    file = tmp_path / "both.pem"
    file.write_bytes(b"# ours, f\xc3\xbcr uns\n" + first.cert_pem.bytes() + second.cert_pem.bytes())
    plain, added = TlsPolicy().make_context(), TlsPolicy(str(file)).make_context()
    assert plain.cert_store_stats()["x509_ca"] > 10
    assert added.cert_store_stats()["x509_ca"] == plain.cert_store_stats()["x509_ca"] + 2
    assert added.verify_mode is ssl.CERT_REQUIRED
    assert added.check_hostname


@pytest.mark.parametrize(
    "content", [b"", b"garbage", b"-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n"]
)
def test_a_file_without_certificates_is_an_error_that_names_it(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "bad.pem"
    file.write_bytes(content)
    policy = TlsPolicy(str(file))
    with pytest.raises(ValueError, match=r"bad\.pem: not a PEM file with certificates"):
        policy.make_context()
    assert policy.without_cert_file().make_context().verify_mode is ssl.CERT_REQUIRED


def test_a_file_that_is_not_there_or_cannot_be_read_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.pem"):
        TlsPolicy(str(tmp_path / "absent.pem")).make_context()
    with pytest.raises((OSError, ValueError), match=tmp_path.name):
        TlsPolicy(str(tmp_path)).make_context()


def test_without_validation_nothing_is_read(tmp_path: Path) -> None:
    context = TlsPolicy(str(tmp_path / "absent.pem"), verify=False).make_context()
    assert context.verify_mode is ssl.CERT_NONE
    assert not context.check_hostname
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_the_lowest_version_is_1_2_unless_it_is_1_3() -> None:
    assert TlsPolicy().make_context().minimum_version is ssl.TLSVersion.TLSv1_2
    assert TlsPolicy(min_version="TLSv1.3").make_context().minimum_version is ssl.TLSVersion.TLSv1_3
    with pytest.raises(ValueError, match=r"expected tlsv1\.2 or tlsv1\.3"):
        TlsPolicy(min_version="sslv3")


def test_where_the_system_has_no_certificates_those_of_mozilla_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    assert TlsPolicy().make_context().cert_store_stats()["x509_ca"] > 10


def test_without_http2_its_library_is_not_loaded() -> None:
    code = """if True:
        import sys
        from ddx_core.intake import ClientSettings, IntakeClient, load_httpx
        IntakeClient().warm_up(tls=False)
        assert "httpcore" in sys.modules and "h2" not in sys.modules and "hpack" not in sys.modules
        IntakeClient(ClientSettings(http2=True)).warm_up(tls=True)
        assert "h2.connection" in sys.modules
        import httpcore
        assert __import__("httpcore._async.http2", fromlist=["x"]).AsyncHTTP2Connection.__name__.startswith("Sound")
    """
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)
