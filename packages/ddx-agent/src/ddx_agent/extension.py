"""The agent's process, from the fork to its end: stage 1 of the cold start, the life, the shutdown.

Whatever goes wrong in here, the keeper answers Lambda; the worst that may happen is that nothing is collected.
"""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from typing import Any

import msgspec
import trio

from ddx_agent import garbage
from ddx_agent.agent_process import Frame
from ddx_agent.assemble import Agent, assemble
from ddx_agent.bootstrap import Boot, bind_again
from ddx_agent.config import (
    Loaded,
    judge_keys,
    judge_names,
    known_paths,
    known_variables,
    load_config,
    secret_suffixes,
)
from ddx_agent.link import KeeperLink
from ddx_agent.own_log import start_own_log
from ddx_agent.status import report_accounts
from ddx_agent.variables import read_environment
from ddx_core import log
from ddx_core.clock import now_ns, ns_per_ms
from ddx_core.events import Shutdown
from ddx_core.http import serve_http
from ddx_core.lifecycle import ExtensionsClient, schema_versions, subscribe
from ddx_core.pipeline import FlushKind, start_contained
from ddx_core.spool import Spool, queue_spooled, spool_queues

# SIGKILL comes at the deadline: everything must be over a little before.
shutdown_margin_s = 0.2
last_telemetry_quiet_s = 0.1
last_telemetry_limit_s = 0.3
subscribe_limit_s = 2.0
retry_bind_s = (0.05, 0.1)


def run_agent(boot: Boot) -> int:
    """Never raises. A failed start-up tells the keeper to be idle (code 3); a failure later lets it start another agent (4)."""
    try:
        return trio.run(_live, boot)
    except BaseException as error:
        start_own_log("error")
        log.error("agent_failed", exc_info=error, consequence="the function is not affected")
        if boot.is_serving:
            return 4
        if boot.link is not None:
            with suppress(OSError):
                boot.link.send(Frame.cannot_run)
        return 3


async def _live(boot: Boot) -> int:
    loaded = await _load()
    config = loaded.config
    start_own_log(config.general.log_level)
    _bind_what_was_taken(boot)
    for trouble in boot.troubles:
        log.warning("start_trouble", about=trouble)
    for complaint in loaded.complaints:
        tell = log.error if complaint.is_severe else log.warning
        tell("setting_ignored", about=complaint.variable, problem=complaint.problem, instead=complaint.used_instead)
    assert boot.link is not None
    link = KeeperLink(trio.socket.from_stdlib_socket(socket.socket(fileno=os.dup(boot.link.fileno()))))
    registration = await link.registration()
    agent = assemble(config, registration, boot, link)
    if config.api_key.plain is None and agent.resolved_key is None:
        log.warning("api_key_missing", variable="DD_API_KEY", consequence="data waits in bounded buffers")
    spool = Spool(config.own.spool_dir, max_bytes=config.own.spool_bytes)

    async with trio.open_nursery() as life:
        # The function waits no longer than its bound for an intake that is slow to answer, yet nothing is sent to it twice.
        agent.client.carry_on_in(life)
        life.start_soon(link.beat)
        async with trio.open_nursery() as receiving:
            for served in agent.served:
                await start_contained(receiving, served)
            await receiving.start(serve_http, agent.endpoint_listeners, agent.endpoints.routes())
            await receiving.start(serve_http, agent.telemetry_listeners, agent.telemetry.routes())
            agent.mode.has_telemetry = await _subscribe(agent, boot, registration.identifier)
            if agent.mode.has_telemetry:
                await link.telemetry_subscribed()
            agent.status.state = "running"
            life.start_soon(agent.flusher.serve_background)
            life.start_soon(_warm_up, agent, boot, spool, loaded.file.tree)
            if agent.resolved_key is not None:
                life.start_soon(agent.resolved_key.run)
            log.debug("agent_ready", ms=round((now_ns() - boot.started_ns) / ns_per_ms, 1))
            shutdown = await _run_mode(agent, link)
            agent.status.state = "stopping"
            deadline = _deadline(shutdown)
            agent.tracker.shutdown(shutdown)
            await _take_in_the_last(agent, deadline)
            receiving.cancel_scope.cancel("shutdown")
        await agent.flusher.wait_for(FlushKind.FINAL, seconds=max(0.02, deadline - trio.current_time()))
        life.cancel_scope.cancel("shutdown")
    _keep_the_rest(agent, spool, shutdown)
    agent.status.state = "stopped"
    log.debug("agent_ended", reason=shutdown.reason)
    report_accounts(agent.status, config.own.accounts_file)
    link.close()
    with trio.move_on_after(0.1, shield=True):
        await agent.aclose()
    return 0


async def _load() -> Loaded:
    """The configuration; what stands in secrets is asked for only by those who have such variables."""
    loaded = load_config(os.environ)
    if not any(name.upper().endswith(secret_suffixes) for name in os.environ):
        return loaded
    from ddx_agent.secrets import AwsOf, find_secret_variables, guard, resolve_variables

    wanted = find_secret_variables(os.environ, known_variables())
    if not wanted:
        return loaded
    resolved = await resolve_variables(wanted, AwsOf(loaded.config, os.environ))
    again = load_config(os.environ, file=loaded.file, secrets=resolved.values)
    again = msgspec.structs.replace(again, complaints=(*again.complaints, *resolved.complaints))
    return guard(again, wanted)


async def _run_mode(agent: Agent, link: KeeperLink) -> Shutdown:
    """The mode's life, cut short when the keeper ends in the middle of an invocation."""
    shutdown: list[Shutdown] = []

    async def run() -> None:
        shutdown.append(await agent.mode.run())
        nursery.cancel_scope.cancel("shutdown")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await link.wait_until_gone()
        nursery.cancel_scope.cancel("keeper gone")
    return shutdown[0] if shutdown else link.orphaned()


async def _subscribe(agent: Agent, boot: Boot, identifier: str) -> bool:
    if not agent.telemetry_listeners:
        return False
    if boot.has_telemetry:
        # What the agent before this one subscribed to comes to its socket, which is ours now.
        return True
    if boot.is_init_over:
        log.warning("telemetry_not_subscribed", reason="the agent started after the init phase", consequence="no logs")
        return False
    client = ExtensionsClient(os.environ.get("AWS_LAMBDA_RUNTIME_API", ""), identifier=identifier)
    port = agent.telemetry_listeners[0].socket.getsockname()[1]
    schemas = schema_versions[:1] if agent.function.is_managed else schema_versions
    with trio.move_on_after(subscribe_limit_s):
        return await subscribe(client, port=port, types=agent.config.logs.telemetry_types, schemas=schemas) is not None
    log.warning("telemetry_not_subscribed", reason=f"no answer within {subscribe_limit_s:g} s")
    return False


async def _warm_up(agent: Agent, boot: Boot, spool: Spool, tree: dict[str, Any]) -> None:
    """What every first flush needs, done while the runtime boots: after `next` was asked for, before the function begins."""
    await trio.lowlevel.checkpoint()
    agent.client.warm_up(tls=agent.needs_tls)
    # Only from here on is a new agent of any use: what is missing until now, a package perhaps, it would miss too.
    boot.is_serving = True
    garbage.settle()
    _tell_names_without_effect(tree)
    restored = queue_spooled(spool, agent.find_fanout)
    if restored.items:
        log.info("spool_restored", items=restored.items, bytes=restored.bytes)


def _tell_names_without_effect(tree: dict[str, Any]) -> None:
    for complaint in judge_keys(tree, known_paths()):
        log.warning("setting_ignored", about=complaint.variable, problem=complaint.problem)
    for complaint in judge_names(read_environment(os.environ), known_variables()):
        log.info("setting_without_effect", about=complaint.variable, reason=complaint.problem)


def _bind_what_was_taken(boot: Boot) -> None:
    """After a reset the process before may still have held a port in the first milliseconds: try those again."""
    for pause_s in (0.0, *retry_bind_s):
        if not boot.unbound:
            return
        time.sleep(pause_s)
        bind_again(boot)


def _deadline(shutdown: Shutdown) -> float:
    """The platform's deadline as absolute Trio time, with a margin; two seconds when it names none."""
    left_s = shutdown.deadline_ms / 1000 - now_ns() / (1000 * ns_per_ms) if shutdown.deadline_ms else 2.0
    return trio.current_time() + max(0.05, min(left_s, 60.0) - shutdown_margin_s)


async def _take_in_the_last(agent: Agent, deadline: float) -> None:
    """Flush what there is while the last telemetry (the report of the invocation before, an end by timeout) still comes in."""
    left_s = deadline - trio.current_time()
    async with trio.open_nursery() as nursery:
        if agent.mode.has_telemetry:
            nursery.start_soon(_until_quiet, agent, min(last_telemetry_limit_s, left_s / 3))
        await agent.flusher.wait_for(FlushKind.FINAL, seconds=left_s * 0.75)


async def _until_quiet(agent: Agent, limit_s: float) -> None:
    """Until nothing has come for a while, unless it is known that the end of an invocation is still to be told."""
    with trio.move_on_after(limit_s):
        while True:
            seen = agent.telemetry.batches
            await trio.sleep(last_telemetry_quiet_s)
            latest = agent.tracker.latest
            if agent.telemetry.batches == seen and (latest is None or not latest.is_running):
                return


def _keep_the_rest(agent: Agent, spool: Spool, shutdown: Shutdown) -> None:
    """After a timeout or a crash the sandbox lives on with the same /tmp: what could not be sent waits there."""
    if shutdown.reason == "spindown":
        return
    written = spool_queues(spool, agent.fanouts)
    if written.kept:
        log.info("spool_written", payloads=len(written.kept), left_out=len(written.left_out))
