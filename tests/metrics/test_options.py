"""What DogStatsD can be told: each setting of the pipeline changes what it says and nothing else."""

from __future__ import annotations

import pytest

from ddx_core.pipeline import FlushKind
from ddx_metrics.settings import Cardinality, LineSettings, MetricsSettings

from .support import Rig, noon_s


async def flushed(settings: MetricsSettings, *lines: str) -> tuple[Rig, dict[str, object]]:
    """`name#tags` → value, or the count of a distribution."""
    rig = Rig(settings)
    rig.take(*lines)
    await rig.pipeline.flush(FlushKind.BLOCKING)
    rig.check()
    return rig, {
        "#".join([metric.name, *metric.tags]): metric.cnt if metric.type == "distribution" else metric.value
        for metric in rig.delivered
    }


async def test_metrics_on_the_blocklist_are_filtered_with_their_namespace_counted_in() -> None:
    settings = MetricsSettings(lines=LineSettings(namespace="app", blocklist=("app.noise", "hits")))
    rig, values = await flushed(settings, "noise:1|c\nhits:2|c", "noise:1:2|c|#a", "noise:x|c")
    assert values == {"app.hits": 2}
    assert rig.dropped == {"filtered": 3}


async def test_times_can_be_ignored() -> None:
    lines = ("m:1|c|T1000000000", "m:2|c", "m:x|c|T1", "m:1|c|T1x")
    rig, values = await flushed(MetricsSettings(lines=LineSettings(takes_times=False)), *lines)
    assert values == {"m": 3}
    assert {metric.timestamp_s for metric in rig.delivered} == {noon_s}
    assert rig.dropped == {"malformed": 2}


sender = "m:1|c|#t:1|c:ci-abc,in-42|e:it-false,cn-web,pu-uid"


@pytest.mark.parametrize(
    ("default", "line", "expected"),
    [
        (None, sender, "m#t:1"),
        (None, f"{sender}|card:high", "m#t:1"),
        (Cardinality.NONE, sender, "m#t:1"),
        (Cardinality.LOW, sender, "m#kube_container_name:web#t:1"),
        (Cardinality.ORCHESTRATOR, sender, "m#kube_container_name:web#t:1"),
        (Cardinality.HIGH, sender, "m#container_id:abc#kube_container_name:web#t:1"),
        (Cardinality.LOW, f"{sender}|card:high", "m#container_id:abc#kube_container_name:web#t:1"),
        (Cardinality.HIGH, f"{sender}|card:none", "m#t:1"),
        (Cardinality.HIGH, f"{sender}|card:whatever", "m#container_id:abc#kube_container_name:web#t:1"),
        (Cardinality.HIGH, "m:1|c|c:0123456789abcdef", "m#container_id:0123456789abcdef"),
        (Cardinality.HIGH, "m:1|c|c:cid-xyz", "m#container_id:xyz"),
        (Cardinality.HIGH, "m:1|c|c:in-42", "m"),
        (Cardinality.HIGH, "m:1|c|c:|e:", "m"),
    ],
)
async def test_the_container_that_a_line_names_becomes_tags_as_far_as_asked(
    default: Cardinality | None, line: str, expected: str
) -> None:
    _, values = await flushed(MetricsSettings(lines=LineSettings(sender_cardinality=default)), line, line)
    assert values == {expected: 2}


many_tags = ",".join(f"t{number}" for number in range(100))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (f"m:1|c|#{many_tags}|c:ci-abc".encode(), [*many_tags.split(","), "container_id:abc"]),
        (b"m:1|c|#t|c:ci-\xff|e:cn-web", ["t", "kube_container_name:web"]),
        (b"m:1|c|#t|c:ci-abc|e:cn-\xff", ["t", "container_id:abc"]),
    ],
    ids=["as many tags as there may be", "container no UTF-8", "name no UTF-8"],
)
async def test_what_a_line_says_of_its_container_never_costs_the_metric(line: bytes, expected: list[str]) -> None:
    rig = Rig(MetricsSettings(lines=LineSettings(sender_cardinality=Cardinality.HIGH)))
    rig.pipeline.take_datagrams([line])
    await rig.pipeline.flush(FlushKind.BLOCKING)
    (metric,) = rig.delivered
    assert metric.tags == tuple(sorted(expected))
    assert rig.dropped == {}


async def test_histograms_can_be_copied_into_distributions() -> None:
    settings = MetricsSettings(copies_to="dist.", histogram_aggregates=("sum",), histogram_percentiles=())
    rig, values = await flushed(settings, "h:1:2|h|@0.5|#a", "h:4|ms|#a", "d:1|d", "h:1|h|T1000000000")
    assert values == {"h.sum#a": 10, "dist.h#a": 5, "d": 1, "h.sum": 1, "dist.h": 1}
    assert rig.account.snapshot().delivered.items == 9  # a copy is a sample more


async def test_one_name_cannot_use_up_the_room_of_others() -> None:
    rig = Rig(MetricsSettings(max_tag_sets=3))
    for _ in range(2):
        rig.take(*(f"flood:1|c|#id:{number}" for number in range(10)), "calm:1|c|#id:1", "calm:1|c|#id:1")
        rig.check()
        await rig.pipeline.flush(FlushKind.BLOCKING)
        rig.check()
    names = [metric.name for metric in rig.delivered]
    assert (names.count("flood"), names.count("calm")) == (6, 2)
    assert rig.dropped == {"tag_cardinality_limit": 14}
