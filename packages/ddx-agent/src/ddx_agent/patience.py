"""Patience: how long the keeper waits for its agent, and what it does then. Pure: it is told what happened and what time it is.

Ticks count the time of a running process: a freeze, however long, is one of them.

Rule: standard library only, and of that nothing that costs time; this is a part of stage 0.
"""

from __future__ import annotations

tick_ms = 500
# Without a heartbeat. After the first number the keeper asks for the next event itself, so that nobody pays for a silent agent;
# after the second the agent is replaced. In between lies the time that an honest piece of work may take at Lambda's smallest
# CPU share (0.07 of a core).
silent_after_ticks = 3
hung_after_ticks = 10
# The same while the agent starts, all of its tries together: asking for the next event ends the init phase, and with it the
# time in which telemetry can be subscribed to, so that is put off until shortly before Lambda's own limit of ten seconds.
start_ask_ticks = 14
# When the agent has not asked for the next event by then, the keeper does: Lambda must see every extension ready before
# the function's deadline, or it calls the invocation a timeout.
deadline_margin_ms = 150

# What a tick calls for. `enum` would cost more than all of this module.
wait = "wait"
ask = "ask for the next event"
ask_unstarted = "ask for the next event, of which no agent has asked for any yet"
replace = "replace the agent"


class Patience:
    def __init__(self) -> None:
        self.is_starting = True
        """No agent has asked for an event yet, nor has the keeper for it: the init phase goes on."""
        self.is_owed = False
        """The agent has an event and has not asked for the next one yet."""
        self._start_ticks = 0
        self._silent_ticks = 0
        self._deadline_ms = 0

    def asked(self) -> None:
        """The next event is asked for, by whomever."""
        self.is_starting = False

    def gave(self, deadline_ms: int) -> None:
        """The agent was given an event. The deadline is Unix time, 0 when none is known."""
        if not self.is_owed:
            self._silent_ticks = 0
        self.is_owed = True
        self._deadline_ms = deadline_ms

    def settled(self) -> None:
        """The agent wants the next event, or there is none that could."""
        self.is_owed = False

    def heard(self) -> None:
        """The agent lives: it has just been started, or has said something."""
        self._silent_ticks = 0

    def ms_to_wait(self, now_ms: int, *, has_asked: bool) -> int | None:
        """Until the next tick; None: for as long as nothing happens. `has_asked`: the call for the next event is pending."""
        if self.is_starting:
            return tick_ms
        if not self.is_owed:
            return None
        if has_asked or not self._deadline_ms:
            return tick_ms
        return max(0, min(tick_ms, self._deadline_ms - deadline_margin_ms - now_ms))

    def tick(self, now_ms: int) -> str:
        """Nothing has happened for as long as that: what is to be done."""
        if self.is_starting:
            self._start_ticks += 1
            return ask_unstarted if self._start_ticks >= start_ask_ticks else wait
        if not self.is_owed:
            return wait
        self._silent_ticks += 1
        if self._silent_ticks >= hung_after_ticks:
            return replace
        is_late = self._deadline_ms and now_ms >= self._deadline_ms - deadline_margin_ms
        return ask if is_late or self._silent_ticks >= silent_after_ticks else wait
