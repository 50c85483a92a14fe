"""Who may register, call next, and report errors: AWS's rules and words (internal/lambda/rapi in AWS's emulator)."""

from __future__ import annotations

import itertools

import pytest

from ddx_agent.local.apis.extension_table import Extension, ExtensionTable, Kind
from ddx_agent.local.apis.states import ExtensionState
from ddx_agent.local.refusal import Refusal

wants_both = b'{"events":["INVOKE","SHUTDOWN"]}'


def make_table(*launched: str | None) -> ExtensionTable:
    numbers = itertools.count(1)
    table = ExtensionTable(lambda: f"00000000-0000-0000-0000-{next(numbers):012d}")
    for name in launched:
        assert isinstance(table.launch(name), Extension)
    return table


def registered(table: ExtensionTable, name: str, body: bytes = wants_both) -> Extension:
    extension = table.register(name, body)
    assert isinstance(extension, Extension), extension
    return extension


def refused(found: object) -> Refusal:
    assert isinstance(found, Refusal), found
    return found


def test_external_extension_registers_under_its_file_name() -> None:
    table = make_table("datadog-agent")
    extension = registered(table, "datadog-agent")
    assert (extension.kind, extension.state) == (Kind.EXTERNAL, ExtensionState.REGISTERED)
    assert extension.events == ("INVOKE", "SHUTDOWN")
    assert table.all_registered()


def test_nameless_extension_takes_the_name_it_registers_with() -> None:
    table = make_table(None)
    extension = registered(table, "somebody-elses")
    assert (extension.kind, extension.name) == (Kind.EXTERNAL, "somebody-elses")


def test_empty_name_is_refused_before_the_body_is_looked_at() -> None:
    assert refused(make_table("a").register("", b"no json")) == Refusal(
        403, "Extension.InvalidExtensionName", "Empty extension name"
    )


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"events":"INVOKE"}', b'{"events":[],"configurationKeys":["x"]}'])
def test_body_that_makes_no_sense_is_an_invalid_request(body: bytes) -> None:
    refusal = refused(make_table("a").register("a", body))
    assert (refusal.status, refusal.error_type) == (403, "InvalidRequestFormat")


def test_empty_configuration_keys_are_accepted() -> None:
    registered(make_table("a"), "a", b'{"events":[],"configurationKeys":[]}')


def test_unknown_event_is_refused_every_time_and_changes_nothing() -> None:
    table = make_table("a")
    for _ in range(2):
        refusal = refused(table.register("a", b'{"events":["INVOKE","abcdef"]}'))
        assert (refusal.status, refusal.error_type) == (403, "Extension.InvalidEventType")
        assert refusal.message.startswith("abcdef: ")
    assert table.extensions[0].state is ExtensionState.STARTED


def test_registering_twice_is_a_wrong_state() -> None:
    table = make_table("a")
    registered(table, "a")
    assert refused(table.register("a", wants_both)) == Refusal(
        403,
        "Extension.InvalidExtensionState",
        "State transition from Registered to Registered failed for extension a. Error: State transition is not allowed",
    )


def test_internal_extension_may_ask_for_invoke_alone() -> None:
    table = make_table()
    refusal = refused(table.register("inside", wants_both))
    assert refusal.error_type == "Extension.InvalidEventType"
    assert "SHUTDOWN" in refusal.message
    assert table.extensions == []
    assert registered(table, "inside", b'{"events":["INVOKE"]}').kind is Kind.INTERNAL


def test_internal_name_is_taken_once() -> None:
    table = make_table()
    registered(table, "inside", b'{"events":[]}')
    assert refused(table.register("inside", b'{"events":[]}')) == Refusal(
        403, "Extension.InvalidExtensionState", "Extension with this name already registered"
    )


def test_registration_closes_for_internal_extensions() -> None:
    table = make_table()
    table.registration_is_open = False
    assert refused(table.register("late", b"{}")) == Refusal(
        403, "Extension.RegistrationClosed", "Extension registration closed already"
    )


def test_eleventh_extension_is_one_too_many() -> None:
    table = make_table(*(f"external-{number}" for number in range(6)))
    for number in range(4):
        registered(table, f"internal-{number}", b"{}")
    expected = Refusal(403, "Extension.TooManyExtensions", "Extension limit (10) reached")
    assert refused(table.register("one-more", b"{}")) == expected
    assert refused(table.launch("one-more")) == expected


@pytest.mark.parametrize(
    ("header", "error_type", "message"),
    [
        (None, "Extension.MissingExtensionIdentifier", "Missing Lambda-Extension-Identifier header"),
        ("", "Extension.MissingExtensionIdentifier", "Missing Lambda-Extension-Identifier header"),
        ("nonsense", "Extension.InvalidExtensionIdentifier", "Invalid Lambda-Extension-Identifier"),
        (
            "3e5e5c3a-2b8f-4b1e-8a3e-111111111111",
            "Extension.UnknownExtensionIdentifier",
            "Unknown extension 3e5e5c3a-2b8f-4b1e-8a3e-111111111111",
        ),
    ],
)
def test_identifier_that_names_nobody_is_refused(header: str | None, error_type: str, message: str) -> None:
    assert refused(make_table("a").find(header)) == Refusal(403, error_type, message)


def test_identifier_is_unknown_until_its_extension_has_registered() -> None:
    table = make_table("a")
    identifier = table.extensions[0].identifier
    assert refused(table.find(identifier)).error_type == "Extension.UnknownExtensionIdentifier"
    registered(table, "a")
    assert table.find(identifier) is table.extensions[0]


def test_next_is_legal_from_registered_and_running_only() -> None:
    extension = registered(make_table("a"), "a")
    assert extension.move(ExtensionState.READY, named="id") is None
    assert refused(extension.move(ExtensionState.READY, named="id")).message == (
        "State transition from Ready to Ready failed for extension id. Error: State transition is not allowed"
    )
    assert extension.move(ExtensionState.RUNNING, named="id") is None
    assert extension.move(ExtensionState.READY, named="id") is None


def test_init_error_may_be_repeated_and_the_first_type_counts() -> None:
    table = make_table("a")
    extension = registered(table, "a")
    assert table.fail(extension, ExtensionState.INIT_ERROR, "Extension.First") is None
    assert table.fail(extension, ExtensionState.INIT_ERROR, "Extension.Second") is None
    assert extension.error_type == "Extension.First"


def test_init_error_is_too_late_after_the_first_next() -> None:
    table = make_table("a")
    extension = registered(table, "a")
    extension.move(ExtensionState.READY, named="id")
    assert refused(table.fail(extension, ExtensionState.INIT_ERROR, "Extension.X")).status == 403
    assert table.fail(extension, ExtensionState.EXIT_ERROR, "Extension.X") is None


def test_error_without_its_type_header_is_refused() -> None:
    table = make_table("a")
    assert refused(table.fail(registered(table, "a"), ExtensionState.EXIT_ERROR, None)) == Refusal(
        403, "Extension.MissingHeader", "Lambda-Extension-Function-Error-Type not found"
    )


def test_error_type_of_another_form_is_replaced() -> None:
    table = make_table("a")
    extension = registered(table, "a")
    table.fail(extension, ExtensionState.EXIT_ERROR, "whatever")
    assert extension.error_type == "Extension.ExitError"


@pytest.mark.parametrize(
    ("code", "state"),
    [(0, ExtensionState.EXITED), (1, ExtensionState.SHUTDOWN_FAILED), (-9, ExtensionState.SHUTDOWN_FAILED)],
)
def test_exit_during_shutdown_is_recorded_by_its_code(code: int, state: ExtensionState) -> None:
    table = make_table("a")
    extension = registered(table, "a")
    extension.move(ExtensionState.READY, named="id")
    table.exited(extension, code, in_shutdown=True)
    assert extension.state is state


def test_all_are_ready_when_each_has_called_next() -> None:
    table = make_table("a", "b")
    first, second = registered(table, "a"), registered(table, "b", b'{"events":["SHUTDOWN"]}')
    first.move(ExtensionState.READY, named="id")
    assert not table.all_ready()
    second.move(ExtensionState.READY, named="id")
    assert table.all_ready()
    assert table.wanting("INVOKE") == [first]
