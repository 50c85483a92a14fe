"""Settings of DogStatsD: forms that users write, and what of a bad one is kept."""

from __future__ import annotations

import pytest

from ddx_agent.config import Config, load_config
from ddx_agent.config.file import ConfigFile


def load(**environ: str) -> tuple[Config, list[str]]:
    loaded = load_config(environ, file=ConfigFile())
    return loaded.config, [str(each) for each in loaded.complaints]


def test_lists_are_separated_by_commas_or_spaces() -> None:
    config, complaints = load(
        DD_STATSD_METRIC_BLOCKLIST="a.b c.d,e",
        DD_STATSD_METRIC_BLOCKLIST_MATCH_PREFIX="true",
        DD_STATSD_METRIC_NAMESPACE_BLACKLIST="jvm mine.",
        DD_DOGSTATSD_EOL_REQUIRED="udp,uds",
        DD_HISTOGRAM_AGGREGATES="max min,count max",
        DD_HISTOGRAM_PERCENTILES="0.5 .95, 0.99 1",
    )
    metrics = config.metrics
    assert complaints == []
    assert (metrics.blocklist, metrics.blocks_prefixes) == (("a.b", "c.d", "e"), True)
    assert metrics.no_namespace == ("jvm", "mine.")
    assert metrics.eol_required == ("udp", "uds")
    assert metrics.histogram_aggregates == ("max", "min", "count")
    assert metrics.histogram_percentiles == (50, 95, 99, 100)


@pytest.mark.parametrize("text", ["myapp", "my_app", "my.app", "myApp123", "a1.b2_c3"])
def test_a_beginning_of_a_name_may_be_the_namespace(text: str) -> None:
    for written in (text, f" \t{text}\n"):
        config, complaints = load(DD_STATSD_METRIC_NAMESPACE=written)
        assert (config.metrics.namespace, complaints) == (text, [])


@pytest.mark.parametrize("text", ["1myapp", "_myapp", ".myapp", "-myapp", "my-app", "my app", "my@app", "my#app", "é"])
def test_anything_else_is_no_namespace(text: str) -> None:
    config, (complaint,) = load(DD_STATSD_METRIC_NAMESPACE=text)
    assert config.metrics.namespace is None
    assert "expected a letter" in complaint


def test_the_newer_name_of_the_blocklist_is_stronger() -> None:
    config, _ = load(DD_STATSD_METRIC_BLOCKLIST="old", DD_METRIC_FILTERLIST="new")
    assert config.metrics.blocklist == ("new",)


@pytest.mark.parametrize("text", ["0", ""])
def test_no_number_is_no_bound(text: str) -> None:
    config, complaints = load(DD_DOGSTATSD_SO_RCVBUF=text, DDX_METRICS_MAX_TAG_SETS=text)
    assert (config.metrics.receive_buffer, config.metrics.max_tag_sets, complaints) == (None, None, [])


def test_a_word_of_no_sense_costs_itself() -> None:
    config, complaints = load(DD_HISTOGRAM_AGGREGATES="max,mode", DD_HISTOGRAM_PERCENTILES="0.9,95,x,.")
    assert (config.metrics.histogram_aggregates, config.metrics.histogram_percentiles) == (("max",), (90,))
    assert ["expected words of max, min" in complaints[0], "expected shares" in complaints[1]] == [True, True]


def test_nothing_set_gives_the_defaults_of_the_pipeline() -> None:
    from ddx_metrics.settings import MetricsSettings

    metrics, there = load()[0].metrics, MetricsSettings()
    assert (metrics.histogram_aggregates, metrics.histogram_percentiles, metrics.max_contexts, metrics.buffer_bytes) == (
        there.histogram_aggregates, there.histogram_percentiles, there.max_contexts, there.max_bytes,
    )  # fmt: skip
    assert (metrics.datagram_bytes, metrics.round_datagrams) == (
        there.receiver.max_bytes,
        there.receiver.round_datagrams,
    )
