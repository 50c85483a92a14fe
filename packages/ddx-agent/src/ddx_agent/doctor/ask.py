"""The questions that cost a network: sources of the API key, secrets behind variables, and Datadog's opinion of a key.

Rule: each is asked by itself, all side by side, and none may take longer than its limit.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import msgspec
import trio

from ddx_agent.aws import AwsError, HttpClient
from ddx_agent.secrets import AwsOf, KeySource, SecretVariable
from ddx_core.errors import DdxError
from ddx_core.intake import ApiKey

from .keys import Asked, Refusal, Validation, Verdict, judge_answer

T = TypeVar("T")


class Given(msgspec.Struct, frozen=True):
    """What a secret behind a variable gave: its text, or why there is none."""

    variable: SecretVariable
    text: str | None
    refusal: Refusal | None
    ms: float


async def ask_sources(sources: Sequence[KeySource], *, timeout_s: float) -> list[Asked]:
    """In the order of `sources`."""

    async def ask(source: KeySource) -> Asked:
        text, refusal, ms = await _ask(source.fetch, timeout_s)
        return Asked(source.variable, None if text is None else ApiKey(text), refusal, ms)

    return await side_by_side([lambda source=source: ask(source) for source in sources])


async def ask_secrets(variables: Sequence[SecretVariable], aws_of: AwsOf, *, timeout_s: float) -> list[Given]:
    async def ask(variable: SecretVariable) -> Given:
        async def fetch() -> str:
            aws = aws_of.aws
            return await (aws.decrypt(variable.written) if variable.is_ciphertext else aws.secret(variable.written))

        text, refusal, ms = await _ask(fetch, timeout_s)
        return Given(variable, None if text is None else text.strip(), refusal, ms)

    return await side_by_side([lambda variable=variable: ask(variable) for variable in variables])


async def validate(
    http: HttpClient, key: ApiKey, *, site: str, api_url: str, timeout_s: float, used_for: str = ""
) -> Validation:
    """Ask `api_url` (https://api.SITE) whether it takes the key."""
    verdict, detail = Verdict.UNKNOWN, f"no answer within {timeout_s:g} s"
    with trio.move_on_after(timeout_s):
        try:
            headers = {"DD-API-KEY": key.value, "Accept": "application/json"}
            answer = await http.call("validation", "GET", f"{api_url}/api/v1/validate", headers=headers)
            verdict, detail = judge_answer(answer.status, answer.body)
        except AwsError as error:
            detail = str(error)
    return Validation(site, verdict, detail, used_for)


async def close(aws_of: AwsOf) -> None:
    with trio.move_on_after(0.1, shield=True):
        await aws_of.aclose()


async def side_by_side(acts: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
    """All at once; the results in the order of `acts`."""
    results: dict[int, T] = {}

    async def run(number: int, act: Callable[[], Awaitable[T]]) -> None:
        results[number] = await act()

    async with trio.open_nursery() as nursery:
        for number, act in enumerate(acts):
            nursery.start_soon(run, number, act)
    return [results[number] for number in range(len(acts))]


async def _ask(fetch: Callable[[], Awaitable[str]], timeout_s: float) -> tuple[str | None, Refusal | None, float]:
    start = trio.current_time()
    text: str | None = None
    refusal: Refusal | None = Refusal(f"no answer within {timeout_s:g} s", may_pass=True)
    with trio.move_on_after(timeout_s):
        try:
            text, refusal = await fetch(), None
        except AwsError as error:
            refusal = Refusal(str(error), error.kind, error.may_pass)
        except DdxError as error:
            refusal = Refusal(str(error))
        except Exception as error:
            # The last handler of one source. Its text may hold what it was given, so only the type is told.
            refusal = Refusal(type(error).__name__)
    return text, refusal, (trio.current_time() - start) * 1000
