"""The calls that Lambda expects of every extension, made by hand: register, once, and next, again and again.

Rules: standard library only, synchronous; this is a part of stage 0. What follows from an answer is the keeper's to decide.
"""

from __future__ import annotations

import _socket
import time

from ddx_agent.bootstrap import registration_request, send_request
from ddx_core.loopback import Answer, AnswerReader, LoopbackError, render_request

register_tries = 3
_nobody_listens = "nobody listens at AWS_LAMBDA_RUNTIME_API"


class CallFailed(Exception):
    """Its text says why."""


class LambdaCalls:
    """`address` is that of Lambda's APIs; `registering` has the request to register on its way, None if nobody took it."""

    def __init__(self, address: str, registering: _socket.socket | None) -> None:
        self._address = address
        self._registering = registering
        self._identifier = ""
        self.pending: _socket.socket | None = None
        """Where the answer to `next` will come; None while the next event has not been asked for."""
        self._reader = AnswerReader()

    @property
    def is_registered(self) -> bool:
        return bool(self._identifier)

    def register(self) -> bytes:
        """Wait for the answer, and ask again a few times if need be. What it says: identifier, NUL, JSON. Raises CallFailed."""
        reason = _nobody_listens
        for attempt in range(register_tries):
            if attempt:
                time.sleep(0.1 * attempt)
                self._registering = send_request(self._address, registration_request(self._address))
            sock, self._registering = self._registering, None
            if sock is None:
                continue
            try:
                answer = _read_answer(sock)
            except (OSError, LoopbackError) as error:
                reason = str(error)
                continue
            finally:
                sock.close()
            identifier = answer.headers.get("lambda-extension-identifier", "")
            if answer.status == 200 and identifier:
                self._identifier = identifier
                return identifier.encode() + b"\0" + answer.body
            if answer.status == 200:
                reason = "its answer has no Lambda-Extension-Identifier"
                continue
            reason = _refusal(answer)
            if 400 <= answer.status < 500:
                break
        raise CallFailed(reason)

    def ask_next(self) -> None:
        """Ask for the next event. Raises CallFailed when nobody takes the call."""
        headers = {"Lambda-Extension-Identifier": self._identifier}
        request = render_request("GET", self._address, "/2020-01-01/extension/event/next", headers)
        self.pending = send_request(self._address, request)
        self._reader = AnswerReader()
        if self.pending is None:
            raise CallFailed(_nobody_listens)

    def take_event(self) -> bytes | None:
        """Read what has come on `pending`: the event (JSON), or None while it is not complete.

        Raises CallFailed; then, too, the call is over.
        """
        assert self.pending is not None
        try:
            answer = self._reader.feed(self.pending.recv(65536))
        except (OSError, LoopbackError) as error:
            self._hang_up()
            raise CallFailed(str(error)) from error
        if answer is None:
            return None
        self._hang_up()
        if not 200 <= answer.status < 300:
            raise CallFailed(_refusal(answer))
        return answer.body

    def close(self) -> None:
        """For a forked process, whose calls these are not."""
        for sock in (self._registering, self.pending):
            if sock is not None:
                sock.close()

    def _hang_up(self) -> None:
        if self.pending is not None:
            self.pending.close()
            self.pending = None


def _read_answer(sock: _socket.socket) -> Answer:
    reader = AnswerReader()
    while True:
        answer = reader.feed(sock.recv(65536))
        if answer is not None:
            return answer


def _refusal(answer: Answer) -> str:
    return f"status {answer.status}: {answer.body[:300].decode('utf-8', 'replace').strip()}"
