"""The keeper: the process that registered. It holds the `next` call, forks the agent and outlives it.

Lambda fails the invocation when a registered extension process ends, or never asks for its next event. So what registered
does nothing that can go wrong: it passes events on to the agent and asks for the next one when the agent says so, when
the agent has died or hangs, and shortly before the invocation's deadline whatever the agent does.

Frames on the link (one message each; the first byte is the kind):
  keeper → agent   R registration (identifier, NUL, JSON)   E event (JSON)   F next failed for good (reason)
  agent → keeper   N ready for the next event   H heartbeat   T telemetry is subscribed   I cannot run: be idle

Rules: standard library only, synchronous, no data of the user's in here.
"""

from __future__ import annotations

import _socket
import gc
import os
import select
import time

from ddx_agent import patience
from ddx_agent.bootstrap import Boot, registration_request, send_request
from ddx_core.loopback import Answer, AnswerReader, LoopbackError, render_request

sigkill = 9  # `import signal` would cost more than all of this module
max_lives = 4
register_tries = 3
next_tries = 20


def say(level: str, text: str) -> None:
    """One line in the form of the agent's own log."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    try:
        os.write(
            1, f'{{"status":"{level}","message":"DD_EXTENSION | {level} | {escaped}"}}\n'.encode("utf-8", "replace")
        )
    except OSError:
        return


class Keeper:
    def __init__(self, boot: Boot, address: str, registering: _socket.socket | None) -> None:
        self._boot = boot
        self._address = address
        self._registering = registering
        self._registration = b""
        self._identifier = ""
        self._agent_pid = 0
        self._link: _socket.socket | None = None
        self._is_idle = False
        self._lives = 0
        self._has_telemetry = False
        self._next: _socket.socket | None = None
        self._next_reader = AnswerReader()
        self._next_failures = 0
        self._patience = patience.Patience()
        self._is_over = False
        self._exit_by_ms = 0

    def run(self) -> int:
        is_agent, code = self._start_agent()
        if is_agent:
            return code
        if not self._register():
            self._is_over = True
            self._kill_agent()
            return 1
        self._send_to_agent(b"R" + self._registration)
        if self._is_idle:
            self._ask_next()
        while True:
            try:
                ended = self._turn()
            except Exception as error:
                # The last handler of the process that must not die: without an agent it is as simple as can be.
                say("ERROR", f"the keeper failed ({type(error).__name__}: {error}); nothing is collected any more")
                self._kill_agent()
                self._be_idle()
                continue
            if ended is not None:
                return ended
            if self._agent_pid == 0 and not self._is_idle and self._lives < max_lives and not self._exit_by_ms:
                is_agent, code = self._start_agent()
                if is_agent:
                    return code
                self._send_to_agent(b"R" + self._registration)

    # --- the agent ----------------------------------------------------------------------------------------------------

    def _start_agent(self) -> tuple[bool, int]:
        """Fork. In the agent: (True, its exit code) once it has ended; in the keeper: (False, 0)."""
        ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
        try:
            pid = os.fork()
        except OSError as error:
            say(
                "ERROR",
                f"the agent cannot be forked ({error.strerror}): nothing is collected, the function runs",
            )
            ours.close()
            theirs.close()
            self._be_idle()
            return False, 0
        if pid:
            theirs.close()
            self._agent_pid, self._link = pid, ours
            self._lives += 1
            self._patience.heard()
            return False, 0
        ours.close()
        for sock in (self._registering, self._next):
            if sock is not None:
                sock.close()
        self._boot.link = theirs
        self._boot.lives = self._lives
        self._boot.has_telemetry = self._has_telemetry
        self._boot.is_init_over = not self._patience.is_starting
        return True, _run_agent(self._boot)

    def _send_to_agent(self, frame: bytes) -> None:
        """An agent that has ended is noticed when the link is read, behind what it said last: that it cannot run, perhaps."""
        if self._link is None:
            return
        try:
            self._link.sendall(frame)
        except OSError:
            return

    def _agent_died(self) -> None:
        """Its end of the link is closed: learn how it ended and take over what it owed."""
        if self._link is not None:
            self._link.close()
            self._link = None
        status = 0
        if self._agent_pid:
            try:
                _, status = os.waitpid(self._agent_pid, 0)
            except OSError:
                status = 0
            self._agent_pid = 0
        how = f"signal {status & 0x7F}" if status & 0x7F else f"exit code {status >> 8}"
        if self._is_over:
            return
        if self._exit_by_ms:
            if status:
                say("ERROR", f"the agent process ended before its last flush was over ({how}): what it held is lost")
            return
        if self._is_idle:
            self._take_over()
            return
        what = "a new one is started" if self._lives < max_lives else "none is started any more"
        say(
            "ERROR",
            f"the agent process died ({how}); {what}. What it had not sent is lost, the function is not affected",
        )
        if self._lives >= max_lives:
            self._be_idle()
        elif not self._patience.is_starting:
            self._take_over()

    def _be_idle(self) -> None:
        """From here on there is no agent. A door that nobody answers would hold the function up: connections are refused."""
        self._is_idle = True
        for sock in self._boot.sockets.values():
            sock.close()
        self._boot.sockets.clear()
        self._take_over()

    def _take_over(self) -> None:
        """There is no agent that could ask for the next event: do it."""
        self._patience.settled()
        self._ask_next()

    def _kill_agent(self) -> None:
        if self._agent_pid:
            try:
                os.kill(self._agent_pid, sigkill)
            except OSError:
                return
            self._agent_died()

    def _from_agent(self) -> None:
        link = self._link
        assert link is not None
        kind = _receive(link)[:1]
        self._patience.heard()
        if not kind:
            self._agent_died()
        elif kind == b"N":
            self._patience.settled()
            self._ask_next()
        elif kind == b"T":
            self._has_telemetry = True
        elif kind == b"I":
            self._be_idle()

    # --- Lambda -------------------------------------------------------------------------------------------------------

    def _register(self) -> bool:
        reason = "nobody listens at AWS_LAMBDA_RUNTIME_API"
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
                self._registration = identifier.encode() + b"\0" + answer.body
                return True
            if answer.status == 200:
                reason = "its answer has no Lambda-Extension-Identifier"
                continue
            reason = f"status {answer.status}: {answer.body[:300].decode('utf-8', 'replace').strip()}"
            if 400 <= answer.status < 500:
                break
        say("ERROR", f"Lambda did not register this extension ({reason}); the process ends with code 1")
        return False

    def _ask_next(self) -> None:
        """Call next, unless a call is pending already, or the environment is shutting down or not registered yet."""
        if self._next is not None or self._exit_by_ms or not self._identifier:
            return
        self._patience.asked()
        headers = {"Lambda-Extension-Identifier": self._identifier}
        sock = send_request(
            self._address, render_request("GET", self._address, "/2020-01-01/extension/event/next", headers)
        )
        if sock is None:
            self._next_failed("nobody listens at AWS_LAMBDA_RUNTIME_API")
            return
        self._next_reader = AnswerReader()
        self._next = sock

    def _from_next(self) -> None:
        sock = self._next
        assert sock is not None
        try:
            answer = self._next_reader.feed(sock.recv(65536))
        except (OSError, LoopbackError) as error:
            self._close_next()
            self._next_failed(str(error))
            return
        if answer is None:
            return
        self._close_next()
        if not 200 <= answer.status < 300:
            self._next_failed(f"status {answer.status}: {answer.body[:300].decode('utf-8', 'replace').strip()}")
            return
        self._next_failures = 0
        self._event(answer.body)

    def _close_next(self) -> None:
        if self._next is not None:
            self._next.close()
            self._next = None

    def _next_failed(self, reason: str) -> None:
        """Try again with growing pauses; in the end treat it as a shutdown, so that what is held still leaves."""
        self._next_failures += 1
        if self._next_failures == 1:
            say("WARN", f"next failed ({reason}); trying again")
        if self._next_failures < next_tries:
            time.sleep(min(0.02 * self._next_failures, 0.2))
            self._ask_next()
            return
        say("ERROR", f"next failed {next_tries} times ({reason}); shutting down")
        self._exit_by_ms = _now_ms() + 2000
        self._send_to_agent(b"F" + reason.encode())

    def _event(self, body: bytes) -> None:
        deadline_ms = _number_in(body, b'"deadlineMs"')
        if b'"SHUTDOWN"' in body:
            # However late it comes: a moment for the accounts, which Lambda grants or does not.
            self._exit_by_ms = max(deadline_ms or _now_ms() + 2000, _now_ms() + 250)
            self._send_to_agent(b"E" + body)
            return
        if self._link is None or self._is_idle:
            self._ask_next()
            return
        self._patience.gave(deadline_ms)
        self._send_to_agent(b"E" + body)

    # --- one turn -----------------------------------------------------------------------------------------------------

    def _turn(self) -> int | None:
        """Wait for something to happen and handle it; the exit code once the environment is over."""
        if self._exit_by_ms and (self._link is None or _now_ms() >= self._exit_by_ms):
            self._kill_agent()
            return 0
        poll = select.poll()
        if self._link is not None:
            poll.register(self._link.fileno(), select.POLLIN)
        if self._next is not None:
            poll.register(self._next.fileno(), select.POLLIN)
        ready = poll.poll(self._ms_to_wait())
        if not ready:
            self._tick()
        for number, _ in ready:
            if self._link is not None and number == self._link.fileno():
                self._from_agent()
            elif self._next is not None and number == self._next.fileno():
                self._from_next()
        return None

    def _ms_to_wait(self) -> int | None:
        now_ms = _now_ms()
        if self._exit_by_ms:
            return max(0, self._exit_by_ms - now_ms)
        return self._patience.ms_to_wait(now_ms, has_asked=self._next is not None)

    def _tick(self) -> None:
        """Nothing happened for a while."""
        due = self._patience.tick(_now_ms())
        if due is patience.replace:
            seconds = patience.hung_after_ticks * patience.tick_ms // 1000
            say("ERROR", f"the agent process has not answered for {seconds} s and is replaced")
            self._kill_agent()
        elif due is patience.ask_unstarted:
            seconds = patience.start_ask_ticks * patience.tick_ms // 1000
            say("WARN", f"the agent has not started within {seconds} s; going on without it")
            self._ask_next()
        elif due is patience.ask:
            self._ask_next()


def _run_agent(boot: Boot) -> int:
    """The forked process: everything heavy begins here."""
    # Nothing that start-up makes is garbage; the agent turns the collector on again when it is ready.
    gc.disable()
    try:
        from ddx_agent.extension import run_agent

        return run_agent(boot)
    except Exception as error:
        say(
            "ERROR",
            f"the agent cannot run ({type(error).__name__}: {error}): nothing is collected, the function is not affected",
        )
        if boot.link is not None:
            boot.link.send(b"I")
        return 3


def _receive(link: _socket.socket) -> bytes:
    """One frame; empty at the end. The kernel tells that the agent has left something unread before the frames that it sent."""
    for _ in range(2):
        try:
            return link.recv(65536)
        except OSError:
            continue
    return b""


def _read_answer(sock: _socket.socket) -> Answer:
    reader = AnswerReader()
    while True:
        answer = reader.feed(sock.recv(65536))
        if answer is not None:
            return answer


def _number_in(body: bytes, name: bytes) -> int:
    """The whole number behind `name` in a JSON text, or 0: two fields do not warrant a JSON library here."""
    _, found, rest = body.partition(name)
    digits = rest.lstrip(b" \t\r\n:")
    end = 0
    while end < len(digits) and digits[end : end + 1].isdigit():
        end += 1
    return int(digits[:end]) if found and end else 0


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
