"""Enhanced metrics through the invocation tracker: counted once, tagged as the invocation was, in any order of events."""

from __future__ import annotations

from itertools import permutations

import pytest

from ddx_metrics.sample import MetricType, Sample
from tests.support.clock import noon_ns

from .story import Story, at_s


def test_an_invocation_tells_all_its_metrics() -> None:
    story = Story()
    story.enhanced.set_runtime("python3.12")
    story.init_start()
    story.invoke()
    story.runtime_done()
    story.report()
    assert {sample.name.removeprefix("aws.lambda.enhanced."): sample.value for sample in story.samples} == {
        "invocations": 1.0, "runtime_duration": 100.0, "produced_bytes": 8.0, "response_latency": 23.0,
        "duration": pytest.approx(0.1205), "billed_duration": pytest.approx(0.121), "max_memory_used": 94.0,
        "memorysize": 128.0, "estimated_cost": pytest.approx(4.52e-07, abs=1e-09), "post_runtime_duration": 20.5,
    }  # fmt: skip
    for sample in story.samples:
        assert sample.type is MetricType.DISTRIBUTION
        assert sample.tags == ("cold_start:true", "runtime:python3.12", "init_type:on-demand")
        assert sample.time_s == (at_s - 5 if sample.name.endswith("invocations") else at_s)


def test_switched_off_it_says_nothing() -> None:
    story = Story(enabled=False)
    story.init_start()
    story.invoke()
    story.runtime_done(status="timeout")
    story.report()
    story.init_report()
    story.shutdown()
    assert story.samples == []
    assert story.enhanced.admit_error()
    assert story.enhanced.admit_error()


def test_tags_are_those_of_the_invocation_not_of_the_moment() -> None:
    story = Story()
    story.init_start()
    story.invoke("a")
    story.runtime_done("a")
    story.invoke("b")
    story.report("a")  # the platform delivers it when the next invocation has begun
    story.runtime_done("b")
    story.report("b")
    tags = {(sample.name.rsplit(".")[-1], sample.tags) for sample in story.samples}
    for name in ("invocations", "runtime_duration", "duration", "post_runtime_duration"):
        assert (name, ("cold_start:true", "init_type:on-demand")) in tags
        assert (name, ("cold_start:false", "init_type:on-demand")) in tags


def test_a_sandbox_that_waited_for_its_first_invocation_was_made_proactively() -> None:
    story = Story(sandbox_age_s=11)
    story.init_start()
    story.invoke("a")
    story.invoke("b")
    assert [sample.tags for sample in story.samples] == [
        ("cold_start:false", "proactive_initialization:true", "init_type:on-demand"),
        ("cold_start:false", "init_type:on-demand"),
    ]  # fmt: skip


def test_the_first_invocation_waits_for_the_sandboxs_start_and_its_tags() -> None:
    story = Story()
    story.invoke()
    assert story.samples == []
    story.clock.advance(3)
    story.init_start("python:3.14.DurableFunction.v6")
    sample = story.only("invocations")
    assert sample.tags == ("cold_start:true", "init_type:on-demand", "durable_function:true")
    assert sample.time_s == noon_ns // 1_000_000_000


@pytest.mark.parametrize("runtime_version", ["python:3.12.v10", None])
def test_other_runtimes_are_not_durable(runtime_version: str | None) -> None:
    story = Story()
    story.init_start(runtime_version)
    story.invoke()
    assert story.only("invocations").tags == ("cold_start:true", "init_type:on-demand")


def test_the_first_invocation_waits_no_longer_than_for_any_other_news() -> None:
    def another_invoke(story: Story) -> None:
        story.invoke("b")

    for news in (Story.runtime_done, Story.report, Story.shutdown, another_invoke):
        story = Story()
        story.invoke()
        assert "invocations" not in story.counts
        news(story)
        assert story.counts["invocations"] == (2 if news is another_invoke else 1)
        story.init_start()
        assert story.counts["invocations"] == (2 if news is another_invoke else 1)


def test_without_telemetry_nothing_waits() -> None:
    story = Story(holds_first=False)
    story.invoke()
    assert story.counts == {"invocations": 1}


def test_errors_are_counted_once_in_whatever_order_they_are_told_of() -> None:
    def tell_platform(story: Story) -> None:
        story.runtime_done(status="error", errorType="Unhandled")

    def tell_report(story: Story) -> None:
        story.report(status="error", error="Unhandled")

    def tell_tracer(story: Story) -> None:
        story.enhanced.invocation_error("a")

    def tell_tracer_without_id(story: Story) -> None:
        story.enhanced.invocation_error(None)

    def tell_library(story: Story) -> None:
        if story.enhanced.admit_error():
            story.samples.append(Sample(name="aws.lambda.enhanced.errors", value=1.0))

    tellers = [tell_platform, tell_report, tell_tracer, tell_tracer_without_id, tell_library]
    for order in permutations(tellers):
        story = Story()
        story.init_start()
        story.invoke()
        for tell in order:
            tell(story)
        assert story.counts["errors"] == 1
        story.invoke("b")
        story.runtime_done("b", status="failure")
        assert story.counts["errors"] == 2


def test_a_retry_of_the_same_request_is_a_run_of_its_own() -> None:
    """Lambda invokes asynchronous events again under the same id when they failed."""
    story = Story()
    story.init_start()
    story.invoke("a")
    story.tell("start", requestId="a")
    story.runtime_done("a", status="error")
    story.enhanced.invocation_error("a")
    story.invoke("a")
    story.report("a", status="error")  # of the first run: it comes when the second has begun
    assert story.counts["errors"] == 1
    story.runtime_done("a", status="timeout")
    assert story.counts["errors"] == 2
    assert story.counts["post_runtime_duration"] == 1
    assert {sample.tags for sample in story.samples if sample.name.endswith(".duration")} == {
        ("cold_start:true", "init_type:on-demand")
    }


@pytest.mark.parametrize("order", [("runtime_done", "report"), ("report", "runtime_done")])
def test_a_timeout_is_an_error_and_a_timeout_once(order: tuple[str, str]) -> None:
    story = Story()
    story.invoke()
    for name in order:
        getattr(story, name)(status="timeout")
    assert story.counts["errors"] == story.counts["timeouts"] == 1
    assert story.counts["post_runtime_duration"] == 1
    assert story.only("timeouts").time_s == at_s


def test_a_status_counts_without_metrics_too() -> None:
    story = Story()
    story.invoke()
    story.runtime_done(status="timeout", metrics=None, spans=[])
    assert story.counts == {"invocations": 1, "errors": 1, "timeouts": 1}


def test_an_error_before_any_invocation_is_taken_once_and_is_the_first_ones() -> None:
    story = Story()
    assert story.enhanced.admit_error()
    assert not story.enhanced.admit_error()
    story.enhanced.invocation_error(None)
    story.init_start()
    story.invoke("a")
    story.runtime_done("a", status="error")
    assert "errors" not in story.counts
    story.invoke("b")
    story.runtime_done("b", status="error")
    assert story.counts["errors"] == 1


@pytest.mark.parametrize("before", ["success", "error"])
@pytest.mark.parametrize("status", ["success", "error"])
@pytest.mark.parametrize("order", ["read, invoke, end", "read, end, invoke", "sent, invoke, end", "invoke, sent, end"])
def test_a_librarys_error_is_of_the_invocation_that_sent_it_even_if_its_invoke_is_heard_late(
    before: str, status: str, order: str
) -> None:
    """A function that fails within milliseconds may be ahead of this process."""
    story = Story()
    story.init_start()
    story.invoke("a")
    story.start("a")
    story.errors_in_socket += before == "error"
    story.runtime_done("a", status=before)
    earlier = story.counts.get("errors", 0)
    assert earlier == (before == "error")
    for what in order.split(", "):
        match what:
            case "read":
                story.read_library_error()
            case "sent":
                story.errors_in_socket += 1
            case "invoke":
                story.invoke("b")
            case _:
                story.start("b")
                story.runtime_done("b", status=status)
    story.report("b", status=status)
    assert story.counts["errors"] == earlier + 1
    story.invoke("c")
    story.runtime_done("c", status="error")
    assert story.counts["errors"] == earlier + 2, "no error of another one is taken for this one's"


@pytest.mark.parametrize("has_id", [True, False])
@pytest.mark.parametrize("status", ["success", "error"])
@pytest.mark.parametrize("order", sorted(set(permutations(["tracer", "library", "invoke"]))))
@pytest.mark.parametrize("of_another_life", ["", "before", "between"])
def test_a_tracers_error_is_of_the_invocation_that_it_ends_even_if_its_invoke_is_heard_late(
    has_id: bool, status: str, order: tuple[str, ...], of_another_life: str
) -> None:
    """As with a library's, and where both tell of the same error it counts once."""
    story = Story()
    story.init_start()
    story.invoke("a")
    story.start("a")
    story.runtime_done("a")
    for number, what in enumerate(order):
        if of_another_life and number == (of_another_life == "between"):
            story.report("of the life before")
        match what:
            case "tracer":
                story.enhanced.invocation_error("b" if has_id else None)
            case "library":
                story.read_library_error()
            case _:
                story.invoke("b")
    story.start("b")
    story.runtime_done("b", status=status)
    story.report("b", status=status)
    assert story.counts["errors"] == 1
    story.invoke("c")
    story.runtime_done("c", status="error")
    assert story.counts["errors"] == 2, "no error of another one is taken for this one's"


def test_a_tracers_error_of_an_invocation_that_never_begins_is_not_that_of_the_next() -> None:
    """Its INVOKE went to the process in whose place this one is."""
    story = Story(is_new_sandbox=False)
    story.enhanced.invocation_error("a")
    story.read_library_error()
    story.invoke("b")
    story.runtime_done("b", status="error")
    story.report("a", status="error")
    assert story.counts["errors"] == 2


def test_an_invocation_whose_init_failed_counts_once_what_was_told_before_its_report() -> None:
    """Its INVOKE never comes: the report alone tells of it."""
    story = Story()
    story.init_start()
    story.enhanced.out_of_memory(None, noon_ns)
    story.errors_in_socket += 1
    story.report("a", status="error", error="Runtime.OutOfMemory", maxMemoryUsedMB=128)
    assert (story.counts["errors"], story.counts["out_of_memory"]) == (1, 1)
    story.invoke("b")
    story.runtime_done("b", status="error", errorType="Runtime.OutOfMemory")
    assert (story.counts["errors"], story.counts["out_of_memory"]) == (2, 2)


@pytest.mark.parametrize(
    ("reported", "failed", "expected"),
    [(1, "a", 1), (5, "abcde", 5), (5, "", 5), (0, "abc", 3), (2, "abcd", 4)],
)
def test_of_overlapping_invocations_each_error_counts_once(reported: int, failed: str, expected: int) -> None:
    story = Story(managed=True)
    for each in "abcde":
        story.start(each)
    admitted = sum(story.enhanced.admit_error() for _ in range(reported))
    for each in "abcde":
        story.report(each, status="error" if each in failed else "success")
    assert admitted + story.counts.get("errors", 0) == expected
    # What was reported in this crowd says nothing of the next.
    story.start("f")
    story.report("f", status="error")
    assert admitted + story.counts.get("errors", 0) == expected + 1


@pytest.mark.parametrize("order", list(permutations(["library", "tracer", "tracer"])))
@pytest.mark.parametrize("failed", ["a", "ab"])
def test_an_error_told_by_library_and_tracer_counts_once_among_overlapping_ones(
    order: tuple[str, ...], failed: str
) -> None:
    story = Story(managed=True)
    admitted = 0
    for each in "abc":
        story.start(each)
    for teller in order:
        if teller == "library":
            admitted += story.enhanced.admit_error()
        else:
            story.enhanced.invocation_error("a")
    # The platform's word for another one is not swallowed by what is left over.
    for each in "abc":
        story.report(each, status="error" if each in failed else "success")
    assert admitted + story.counts.get("errors", 0) == len(failed)


def test_a_library_is_believed_again_once_the_run_that_a_tracer_told_of_is_over() -> None:
    story = Story(managed=True)
    for each in "ab":
        story.start(each)
    story.enhanced.invocation_error("a")
    drained = story.drained
    story.report("a", status="error")
    assert story.drained > drained
    assert story.enhanced.admit_error()
    story.report("b", status="error")
    assert story.counts["errors"] == 1


def test_out_of_memory_is_counted_once_for_an_invocation() -> None:
    story = Story()
    story.init_start()
    story.invoke()
    story.enhanced.out_of_memory("a", noon_ns)
    story.enhanced.out_of_memory(None, noon_ns)
    story.runtime_done(status="error", errorType="Runtime.OutOfMemory")
    story.report(maxMemoryUsedMB=128)
    assert story.counts["out_of_memory"] == 1
    assert story.only("out_of_memory").time_s == noon_ns // 1_000_000_000
    assert story.counts["errors"] == 1
    story.invoke("b")
    story.report("b", maxMemoryUsedMB=128)
    assert story.counts["out_of_memory"] == 2
    story.enhanced.out_of_memory("a", noon_ns)
    assert story.counts["out_of_memory"] == 2


@pytest.mark.parametrize(("status", "error"), [("error", "Runtime.ExitError"), ("failure", "Runtime.OutOfMemory")])
def test_other_ends_are_not_out_of_memory(status: str, error: str) -> None:
    story = Story()
    story.invoke()
    story.runtime_done(status=status, errorType=error)
    assert "out_of_memory" not in story.counts


def test_an_id_that_somebody_speaks_of_first_still_gets_its_tags() -> None:
    story = Story()
    story.enhanced.out_of_memory("a", noon_ns)
    assert [sample.tags for sample in story.samples] == [()]
    story.invoke("a")
    story.report("a", maxMemoryUsedMB=128)
    assert story.counts["out_of_memory"] == 1
    assert story.only("duration").tags == ("cold_start:true",)


def test_post_runtime_duration_comes_with_whichever_record_is_second() -> None:
    for first, second in ((Story.runtime_done, Story.report), (Story.report, Story.runtime_done)):
        story = Story()
        story.invoke()
        first(story)
        assert "post_runtime_duration" not in story.counts
        second(story)
        assert story.only("post_runtime_duration").value == 20.5


def test_the_init_duration_is_told_once() -> None:
    story = Story()
    story.init_start()
    story.invoke()
    story.init_report()
    story.report(initDurationMs=549.04)
    sample = story.only("init_duration")
    assert (sample.value, sample.tags) == (0.5, ("cold_start:true", "init_type:on-demand"))
    other = Story()
    other.invoke()
    other.report(initDurationMs=549.04)
    other.init_report()
    assert other.only("init_duration").value == pytest.approx(0.54904)


def test_a_restore_is_told_when_it_succeeded() -> None:
    story = Story()
    story.tell("restoreReport", status="failure", errorType="x")
    for _ in range(2):  # as when the answer to the first delivery was lost
        story.tell("restoreReport", status="success", metrics={"durationMs": 150.5})
    assert story.only("snapstart_restore_duration").value == pytest.approx(0.1505)


def test_a_shutdown_is_counted_and_an_init_that_nobody_used() -> None:
    story = Story()
    story.shutdown()
    assert story.counts == {"shutdowns": 1, "unused_init": 1}
    story = Story()
    story.invoke()
    story.shutdown()
    assert story.counts == {"invocations": 1, "shutdowns": 1}
    assert story.only("shutdowns").tags == ("cold_start:true",)


def test_what_is_remembered_of_invocations_is_bounded() -> None:
    story = Story()
    for number in range(2000):
        story.invoke(f"id-{number}")
        story.enhanced.invocation_error(f"id-{number}")
    assert story.counts["errors"] == 2000
    assert story.drained == 2000
