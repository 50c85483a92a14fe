"""How the embedded intake is to misbehave, as data: answers to be used up in order, after which it answers normally.

    {"logs": [503, "reset", {"slow": 2}, {"status": 429, "retry_after": 5, "times": 3}],
     "/api/beta": ["hang"], "key:0123456789abcdef": [403], "*": ["garbage"]}

A selector is a kind of request (`logs`, `series`, `traces` …), a path or its beginning (`/api/v2/series`), an API key
(`key:` and the key), or `*` for any request. One answer is used for each request; the most precise selector that has
any left gives it: key, then the longest path, then kind, then `*`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any, Final

import msgspec

from ddx_core.errors import ConfigError

from .endpoints import kinds


class Action(StrEnum):
    NORMAL = "normal"
    """Decode, keep, answer as the real intake does."""
    STATUS = "status"
    """Answer with this status; a 2xx keeps the data, anything else does not."""
    RESET = "reset"
    """Reset the connection (TCP RST) with no answer; the data are not kept."""
    RESET_AFTER_READ = "reset_after_read"
    """Keep the data, then reset: the reply is lost, and the sender cannot know."""
    SLOW = "slow"
    """Keep the data, answer normally after some seconds."""
    HANG = "hang"
    """Never answer; the data are not kept."""
    TRUNCATED = "truncated"
    """Keep the data, answer with less body than announced, then close."""
    GARBAGE = "garbage"
    """Answer with bytes that are not HTTP; the data are not kept."""
    CLOSE = "close"
    """Close the connection (TCP FIN) with no answer; the data are not kept."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One scripted answer."""

    action: Action
    status: int = 0
    retry_after: str | None = None
    """Value of the `Retry-After` header: seconds, or an HTTP date."""
    body: str | None = None
    seconds: float = 0.0

    @property
    def keeps_data(self) -> bool:
        match self.action:
            case Action.STATUS:
                return 200 <= self.status < 300
            case Action.NORMAL | Action.SLOW | Action.TRUNCATED | Action.RESET_AFTER_READ:
                return True
            case _:
                return False

    def describe(self) -> str:
        match self.action:
            case Action.STATUS:
                return str(self.status)
            case Action.SLOW:
                return f"slow({self.seconds:g})"
            case other:
                return other.value


normal: Final = Answer(action=Action.NORMAL)
reset: Final = Answer(action=Action.RESET)
reset_after_read: Final = Answer(action=Action.RESET_AFTER_READ)
hang: Final = Answer(action=Action.HANG)
truncated: Final = Answer(action=Action.TRUNCATED)
garbage: Final = Answer(action=Action.GARBAGE)
close: Final = Answer(action=Action.CLOSE)


def status(code: int, *, retry_after: float | str | None = None, body: str | None = None) -> Answer:
    return Answer(
        action=Action.STATUS,
        status=code,
        retry_after=None
        if retry_after is None
        else f"{retry_after:g}"
        if isinstance(retry_after, float)
        else str(retry_after),
        body=body,
    )


def slow(seconds: float) -> Answer:
    return Answer(action=Action.SLOW, seconds=seconds)


AnswerLike = Answer | int | str | Mapping[str, Any]
"""An answer, a status, the name of an action without parameters, or the JSON object of one with them."""

ScriptLike = Mapping[str, Sequence[AnswerLike]] | Sequence[AnswerLike]
"""Answers by selector, or for any request."""


class Script:
    """The answers that are left. Changed at any time; requests take from it as they come in."""

    def __init__(self, answers: ScriptLike = ()) -> None:
        self._answers: dict[str, deque[Answer]] = {}
        self.refused_keys: set[str] = set()
        """API keys that are answered 403 until they are taken out."""
        self.require_key: bool = True
        """Whether a request to a Datadog endpoint without any API key is refused, as Datadog does."""
        self.resetting: bool = False
        """While true, every connection with a request for the intake is reset: down, but still listening."""
        self.replace(answers)

    def add(self, selector: str, *answers: AnswerLike) -> None:
        """Append answers for a selector."""
        self._answers.setdefault(_selector(selector), deque()).extend(read_answers(answers))

    def replace(self, answers: ScriptLike) -> None:
        """Put these answers in place of all that are left."""
        by_selector = answers if isinstance(answers, Mapping) else {"*": answers}
        parsed = {_selector(selector): deque(read_answers(each)) for selector, each in by_selector.items()}
        self._answers = {selector: each for selector, each in parsed.items() if each}

    def clear(self) -> None:
        """Answer everything normally from here on."""
        self._answers = {}
        self.refused_keys = set()
        self.resetting = False

    def left(self) -> dict[str, list[str]]:
        """The answers not used yet, described, by selector. API keys are cut to their last four characters."""
        return {
            f"key:…{selector[-4:]}" if selector.startswith("key:") else selector: [
                answer.describe() for answer in answers
            ]
            for selector, answers in self._answers.items()
        }

    def take(self, *, kind: str, path: str, key: str | None) -> Answer:
        """The answer for one request, used up by this call."""
        if self.resetting:
            return reset
        paths = [selector for selector in self._answers if selector.startswith("/") and path.startswith(selector)]
        for selector in (f"key:{key}", *sorted(paths, key=len, reverse=True), kind, "*"):
            answers = self._answers.get(selector)
            if answers:
                answer = answers.popleft()
                if not answers:
                    del self._answers[selector]
                return answer
        return normal


def read_answers(answers: Iterable[AnswerLike]) -> list[Answer]:
    """Answers from their short forms; `times` in an object repeats it. Raises ConfigError for what is none."""
    return [answer for each in answers for answer in _read_answer(each)]


class ScriptChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `PUT /ddx/script`. What is absent stays as it is."""

    answers: dict[str, list[Any]] | list[Any] | None = None
    refused_keys: list[str] | None = None
    require_key: bool | None = None
    down: bool | None = None
    """Reset every connection, until set to false."""
    down_s: Annotated[float, msgspec.Meta(gt=0, le=86400)] | None = None
    """Reset every connection for so long."""
    refuse_s: Annotated[float, msgspec.Meta(gt=0, le=86400)] | None = None
    """Close the listening socket for so long: connections are refused."""


def read_change(text: str | bytes) -> ScriptChange:
    """A change from JSON; a bare list of answers, or a bare table of selectors, means `answers`."""
    try:
        data = msgspec.json.decode(text, type=dict[str, Any] | list[Any])
        whole = isinstance(data, dict) and any(name in data for name in ScriptChange.__struct_fields__)
        change = msgspec.convert(data if whole else {"answers": data}, ScriptChange)
        if change.answers is not None:
            Script(change.answers)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"the script is not usable: {error}") from error
    return change


class _AnswerObject(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    status: Annotated[int, msgspec.Meta(ge=100, le=599)] | None = None
    retry_after: float | str | None = None
    body: str | None = None
    slow: Annotated[float, msgspec.Meta(ge=0, le=86400)] | None = None
    action: Action | None = None
    times: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1


def _read_answer(answer: AnswerLike) -> list[Answer]:
    match answer:
        case Answer():
            return [answer]
        case bool():
            raise ConfigError(f"scripted answer {answer!r}: expected a status, a name or an object")
        case int():
            if not 200 <= answer <= 599:
                raise ConfigError(f"scripted status {answer}: expected 200 to 599")
            return [status(answer)]
        case str():
            return [_named(answer)]
        case _:
            return _from_object(answer)


def _named(name: str) -> Answer:
    plain = [each.value for each in Action if each not in (Action.STATUS, Action.SLOW)]
    if name not in plain:
        raise ConfigError(f"scripted answer {name!r}: expected one of {', '.join(plain)}, a status, or an object")
    return Answer(action=Action(name))


def _from_object(answer: Mapping[str, Any]) -> list[Answer]:
    try:
        given = msgspec.convert(answer, _AnswerObject)
    except msgspec.ValidationError as error:
        raise ConfigError(f"scripted answer {answer!r}: {error}") from error
    if [given.status, given.slow, given.action].count(None) != 2:
        raise ConfigError(f"scripted answer {answer!r}: expected exactly one of status, slow and action")
    if given.status is not None:
        made = status(given.status, retry_after=given.retry_after, body=given.body)
    elif given.slow is not None:
        made = slow(given.slow)
    else:
        assert given.action is not None
        made = _named(given.action.value)
    return [made] * given.times


def _selector(selector: str) -> str:
    if selector == "*" or selector in kinds or selector.startswith("/"):
        return selector
    if selector.startswith("key:") and selector != "key:":
        return selector
    known = ", ".join(kinds)
    raise ConfigError(f"script selector {selector!r}: expected a path, key:<API key>, *, or a kind, one of {known}")
