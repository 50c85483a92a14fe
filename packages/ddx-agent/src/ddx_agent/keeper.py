"""The keeper: the process that registered. It asks Lambda for events, forks the agent that they are for, and outlives it.

Lambda fails the invocation when a registered extension process ends, or never asks for its next event. So what registered
does nothing that can go wrong: it passes events on to the agent and asks for the next one when the agent says so, when
the agent has died or hangs, and shortly before the invocation's deadline whatever the agent does.

Its parts: `agent_process` (the process, and the frames that go to and fro), `lambda_calls` (register and next), `patience`
(how long the agent is waited for). What follows from what they tell is decided here.

Rules: standard library only, synchronous, no data of the user's in here.
"""

from __future__ import annotations

import _socket
import gc
import os
import select
import time

from ddx_agent import patience
from ddx_agent.agent_process import AgentProcess, Frame
from ddx_agent.bootstrap import Boot
from ddx_agent.lambda_calls import CallFailed, LambdaCalls

max_lives = 4
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
    """`boot` is what each agent is given. `registering` has the request to register on its way, None if nobody took it."""

    def __init__(self, boot: Boot, address: str, registering: _socket.socket | None) -> None:
        self._boot = boot
        self._agent = AgentProcess()
        self._lambda = LambdaCalls(address, registering)
        self._patience = patience.Patience()
        self._registration = b""
        self._next_failures = 0
        self._is_idle = False
        """No agent can run: this process answers alone."""
        self._exit_by_ms = 0
        """The environment is shutting down: when this process must have ended (Unix time). 0 before."""

    def run(self) -> int:
        """The exit code; in each forked process, that of the agent."""
        code = self._start_agent()
        if code is not None:
            return code
        try:
            self._registration = self._lambda.register()
        except CallFailed as error:
            say("ERROR", f"Lambda did not register this extension ({error}); the process ends with code 1")
            self._agent.kill()
            return 1
        self._agent.send(Frame.registration + self._registration)
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
            if self._agent.link is None and not self._is_idle and not self._exit_by_ms:
                code = self._start_agent()
                if code is not None:
                    return code
                self._agent.send(Frame.registration + self._registration)

    def _turn(self) -> int | None:
        """Wait for something to happen and handle it; the exit code once the environment is over."""
        if self._exit_by_ms and (self._agent.link is None or _now_ms() >= self._exit_by_ms):
            self._kill_agent()
            return 0
        poll = select.poll()
        for sock in (self._agent.link, self._lambda.pending):
            if sock is not None:
                poll.register(sock.fileno(), select.POLLIN)
        ready = poll.poll(self._ms_to_wait())
        if not ready:
            self._tick()
        for number, _ in ready:
            if self._agent.link is not None and number == self._agent.link.fileno():
                self._from_agent()
            elif self._lambda.pending is not None and number == self._lambda.pending.fileno():
                self._from_lambda()
        return None

    def _ms_to_wait(self) -> int | None:
        now_ms = _now_ms()
        if self._exit_by_ms:
            return max(0, self._exit_by_ms - now_ms)
        return self._patience.ms_to_wait(now_ms, has_asked=self._lambda.pending is not None)

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

    # --- the agent ----------------------------------------------------------------------------------------------------

    def _start_agent(self) -> int | None:
        """Fork. In the agent: its exit code, once it has ended; in the keeper: None."""
        self._boot.is_init_over = not self._patience.is_starting
        try:
            link = self._agent.fork()
        except OSError as error:
            say("ERROR", f"the agent cannot be forked ({error.strerror}): nothing is collected, the function runs")
            self._be_idle()
            return None
        if link is not None:
            self._lambda.close()
            self._boot.link = link
            return _run_agent(self._boot)
        self._boot.lives += 1
        self._patience.heard()
        return None

    def _from_agent(self) -> None:
        kind = self._agent.receive()[:1]
        self._patience.heard()
        if not kind:
            self._agent_died(self._agent.reap())
        elif kind == Frame.ready:
            self._patience.settled()
            self._ask_next()
        elif kind == Frame.subscribed:
            self._boot.has_telemetry = True
        elif kind == Frame.cannot_run:
            self._be_idle()

    def _kill_agent(self) -> None:
        status = self._agent.kill()
        if status is not None:
            self._agent_died(status)

    def _agent_died(self, status: int) -> None:
        """Say how it ended (`status`, as from waitpid) and take over what it owed."""
        how = f"signal {status & 0x7F}" if status & 0x7F else f"exit code {status >> 8}"
        if self._exit_by_ms:
            if status:
                say("ERROR", f"the agent process ended before its last flush was over ({how}): what it held is lost")
            return
        if self._is_idle:
            self._take_over()
            return
        is_last = self._boot.lives >= max_lives
        what = "none is started any more" if is_last else "a new one is started"
        say(
            "ERROR",
            f"the agent process died ({how}); {what}. What it had not sent is lost, the function is not affected",
        )
        if is_last:
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

    # --- Lambda -------------------------------------------------------------------------------------------------------

    def _ask_next(self) -> None:
        """Call next, unless a call is pending already, or the environment is shutting down or not registered yet."""
        if self._lambda.pending is not None or self._exit_by_ms or not self._lambda.is_registered:
            return
        self._patience.asked()
        try:
            self._lambda.ask_next()
        except CallFailed as error:
            self._next_failed(str(error))

    def _from_lambda(self) -> None:
        try:
            event = self._lambda.take_event()
        except CallFailed as error:
            self._next_failed(str(error))
            return
        if event is not None:
            self._next_failures = 0
            self._pass_on(event)

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
        self._agent.send(Frame.next_failed + reason.encode())

    def _pass_on(self, body: bytes) -> None:
        """Give the agent an event; where there is none, an invocation is over for this extension as it begins."""
        deadline_ms = _number_in(body, b'"deadlineMs"')
        if b'"SHUTDOWN"' in body:
            # However late it comes: a moment for the accounts, which Lambda grants or does not.
            self._exit_by_ms = max(deadline_ms or _now_ms() + 2000, _now_ms() + 250)
            self._agent.send(Frame.event + body)
            return
        if self._agent.link is None or self._is_idle:
            self._ask_next()
            return
        self._patience.gave(deadline_ms)
        self._agent.send(Frame.event + body)


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
            boot.link.send(Frame.cannot_run)
        return 3


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
