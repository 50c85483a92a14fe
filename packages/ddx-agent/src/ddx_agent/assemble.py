"""Configuration → pipelines, intake, observers: the one place where packages meet. It reads top to bottom.

Imports inside a branch belong to what that branch enables, so that nobody pays for what is off.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING

import msgspec

from ddx_agent import version
from ddx_agent.bootstrap import Boot
from ddx_agent.config import Config
from ddx_agent.destinations import destinations, proxied_destinations, signals
from ddx_agent.doors import (
    datagram_sockets,
    listeners,
    own_addresses,
    port_of,
    receive_on_unix_sockets,
    trace_listeners,
)
from ddx_agent.durable_executions import DurableExecutions
from ddx_agent.endpoints import LambdaEndpoints
from ddx_agent.environment import LambdaFunction, account_in_arn, find_runtime_name, function_tags, read_function
from ddx_agent.link import EventSource
from ddx_agent.modes.elapsed import Elapsed
from ddx_agent.modes.flusher import Flusher
from ddx_agent.network import client_settings, retry_policy
from ddx_agent.signal_settings import enhanced_settings, logs_settings, metrics_settings, traces_settings
from ddx_agent.status import Status
from ddx_agent.time_mark import TimeMark
from ddx_core import log
from ddx_core.clock import WallClock, now_ns
from ddx_core.events import LogLine, TelemetryEvent
from ddx_core.flush import Strategy, default_strategy, for_managed_instances
from ddx_core.intake import (
    ApiKeySource,
    Coding,
    Compressor,
    Fanout,
    IntakeClient,
    StaticKey,
    open_fanout,
)
from ddx_core.invocation import Invocation, InvocationObserver, InvocationTracker
from ddx_core.lifecycle import Registration, TelemetryReceiver
from ddx_core.pipeline import Pipeline, Served
from ddx_core.stats import Account
from ddx_core.tags import TagSet
from ddx_logs.pipeline import LogsPipeline
from ddx_metrics.enhanced import EnhancedMetrics
from ddx_metrics.pipeline import MetricsPipeline
from ddx_metrics.pipeline import lanes as metric_lanes
from ddx_traces.pipeline import TracesPipeline
from ddx_traces.proxy import Outbox, ProxiedIntakes, ProxySettings

if TYPE_CHECKING:
    from ddx_agent.modes.managed import Managed
    from ddx_agent.modes.on_demand import OnDemand
    from ddx_agent.secrets import ResolvedKey
    from ddx_metrics.usage import UsageSampler


class Agent:
    """Everything that makes up the extension's agent, ready to be started by ddx_agent.extension."""

    def __init__(
        self,
        config: Config,
        *,
        function: LambdaFunction,
        boot: Boot,
        source: EventSource,
        environ: Mapping[str, str],
        wall_clock: WallClock = now_ns,
    ) -> None:
        self.config = config
        self.function = function
        self._closing = ExitStack()
        self.resolved_key: ResolvedKey | None = None
        key: ApiKeySource = StaticKey(config.api_key.plain)
        if config.api_key.is_asked_for:
            from ddx_agent.secrets import key_of

            key = self.resolved_key = key_of(config, environ)
        self._key = key
        self.client = IntakeClient(client_settings(config), retry_policy)

        # --- ways out -------------------------------------------------------------------------------------------------
        accounts = {signal: Account(signal) for signal in signals}
        self.fanouts = {
            signal: open_fanout(
                accounts[signal],
                endpoints,
                self.client,
                max_bytes=config.own.queue_bytes,
                lanes=metric_lanes if signal == "metrics" else (),
            )
            for signal, endpoints in destinations(config, key).items()
        }
        self.needs_tls = any(
            queue.endpoint.base_url.startswith("https:") for fanout in self.fanouts.values() for queue in fanout.queues
        )

        # --- signals --------------------------------------------------------------------------------------------------
        tags = self._tags()
        self.metrics = MetricsPipeline(
            metrics_settings(config),
            account=accounts["metrics"],
            fanout=self.fanouts["metrics"],
            compressor=_compressor(config.metrics.compression_level),
            tags=self._metric_tags(tags),
            now_ns=wall_clock,
            sockets=datagram_sockets(boot, config),
            told_until=TimeMark(f"{config.own.spool_dir}/told") if config.own.spool_bytes else None,
        )
        for close in receive_on_unix_sockets(boot, config, self.metrics):
            self._closing.callback(close)
        sampler: UsageSampler | None = None
        if config.metrics.enhanced and config.metrics.proc_enhanced:
            from ddx_metrics.usage import ProcReader, Usage, UsageSampler

            sampler = UsageSampler(Usage(ProcReader()), one_at_a_time=not function.is_managed)
        self.enhanced = EnhancedMetrics(
            self.metrics.add,
            settings=enhanced_settings(config, function, is_new_sandbox=not boot.lives),
            now_ns=wall_clock,
            architecture=function.architecture,
            drain=self.metrics.drain,
            usage=sampler.usage if sampler is not None else None,
        )
        # Libraries count errors too: one invocation's error is one error, whoever tells first.
        self.metrics.ask_before("aws.lambda.enhanced.errors", self.enhanced.admit_error)
        self.logs = LogsPipeline(
            logs_settings(config, function),
            account=accounts["logs"],
            fanout=self.fanouts["logs"],
            compressor=_compressor(
                0 if config.intakes.uses_worker else config.logs.effective_level, Coding(config.logs.compression_kind)
            ),
            tags=tags,
            # Without an account the ARN is not known: records wait for the first INVOKE, which tells it.
            function_arn=function.arn if function.account_id or function.is_managed else "",
            service=(config.general.service or "").lower(),
            now_ns=wall_clock,
            on_out_of_memory=self.enhanced.out_of_memory,
        )
        self.proxied = ProxiedIntakes(
            ProxySettings(
                max_buffer_bytes=config.intakes.proxied_buffer_bytes,
                additional_tags=f"_dd.origin:lambda;functionname:{function.name}",
            ),
            open_outbox=self._open_outbox,
            tags=tags,
            new_id=_new_id,
            take_datagrams=self.metrics.take_datagrams,
        )
        traces_listeners = trace_listeners(boot, config)
        self.traces = TracesPipeline(
            traces_settings(
                config,
                function,
                runtime_api=environ.get("AWS_LAMBDA_RUNTIME_API", ""),
                own_addresses=own_addresses(boot),
                receiver_port=port_of(boot, "traces"),
                statsd_port=port_of(boot, "dogstatsd"),
            ),
            account=accounts["traces"],
            stats_account=accounts["stats"],
            fanout=self.fanouts["traces"],
            stats_fanout=self.fanouts["stats"],
            compressor=_compressor(config.traces.compression_level),
            tags=tags,
            now_ns=wall_clock,
            listeners=traces_listeners,
            proxied=self.proxied,
            observers=[DurableExecutions(self.logs)] if config.logs.durable_invocations else [],
        )
        metrics: Pipeline = self.metrics
        if config.own.health_metrics:
            from ddx_agent.health import HealthMetrics

            metrics = HealthMetrics(self.metrics, (self.logs, self.traces), wall_clock)
        self.pipelines: tuple[Pipeline, ...] = (self.logs, metrics, self.traces)
        self.served: tuple[Served, ...] = self.pipelines if sampler is None else (*self.pipelines, sampler)

        # --- what is known of invocations -----------------------------------------------------------------------------
        elapsed = Elapsed(wall_clock)
        self.flusher = Flusher(self.pipelines, elapsed, self._is_in_trouble)
        if self.resolved_key is not None:
            self.resolved_key.on_key = self.flusher.start_in_background
        observers: list[InvocationObserver] = [_FirstInvocation(self), self.enhanced]
        if sampler is not None:
            observers.append(sampler)
        self.mode: OnDemand | Managed
        if function.is_managed:
            from ddx_agent.modes.managed import Managed

            self.tracker = self._tracker(boot, wall_clock, observers)
            interval_ms = _continuous(config.flushing.strategy).interval_ms or 0
            self.mode = Managed(
                source=source,
                flusher=self.flusher,
                interval_s=interval_ms / 1000,
                max_added_s=config.flushing.max_added_s,
            )
        else:
            from ddx_agent.modes.end_of_invocation import EndOfInvocation
            from ddx_agent.modes.on_demand import OnDemand

            ends = EndOfInvocation()
            # Last: when the end of an invocation is told, the other observers have already turned it into telemetry.
            observers.append(ends)
            self.tracker = self._tracker(boot, wall_clock, observers)
            self.mode = OnDemand(
                source=source,
                tracker=self.tracker,
                ends=ends,
                flusher=self.flusher,
                strategy=config.flushing.strategy,
                elapsed=elapsed,
                wall_clock=wall_clock,
                max_added_s=config.flushing.max_added_s,
            )

        # --- doors ----------------------------------------------------------------------------------------------------
        self.telemetry = TelemetryReceiver(self._observe)
        self.telemetry_listeners = listeners(boot, "telemetry")
        self.endpoint_listeners = listeners(boot, "lifecycle")
        self._listeners = (*traces_listeners, *self.telemetry_listeners, *self.endpoint_listeners)
        self.status = Status(
            version=version,
            mode=self.mode.name,
            pipelines=self.pipelines,
            parts={
                "invocations": lambda: {"seen": self.tracker.seen, "added_ms": list(self.mode.added_ms)},
                "flushes": lambda: dict(self.flusher.counts),
                "telemetry": lambda: {"events": self.telemetry.events, "skipped": self.telemetry.skipped},
                "troubles": lambda: boot.troubles,
                "api_key": self._key_state,
                "earlier_agents": lambda: boot.lives,
            },
        )
        self.endpoints = LambdaEndpoints(
            flush=self.mode.flush_at_end, on_error=self.enhanced.invocation_error, status=self.status.document
        )

    async def aclose(self) -> None:
        """Close connections and the listeners that no server has closed."""
        for listener in self._listeners:
            listener.socket.close()
        self._closing.close()
        await self.client.aclose()

    def complete_account(self, invoked_arn: str) -> None:
        """Take the account id from the first invocation's ARN when the registration had none; tags and ARN follow."""
        if self.function.account_id:
            return
        self.function = msgspec.structs.replace(self.function, account_id=account_in_arn(invoked_arn))
        tags = self._tags()
        self.logs.set_function_arn(self.function.arn, tags)
        self.metrics.set_tags(self._metric_tags(tags))
        self.traces.set_tags(tags)

    def find_fanout(self, signal: str) -> Fanout | None:
        """The way out of a signal, or of an intake that libraries reach through the trace agent."""
        if signal in self.fanouts:
            return self.fanouts[signal]
        outbox = self.proxied.outbox(signal)
        return None if outbox is None else outbox.fanout

    def _open_outbox(self, intake: str) -> Outbox | None:
        endpoints = proxied_destinations(self.config, self._key, intake)
        if endpoints is None:
            return None
        account = Account(intake)
        fanout = open_fanout(account, endpoints, self.client, max_bytes=self.config.intakes.proxied_buffer_bytes)
        self.fanouts[intake] = fanout
        return Outbox(account, fanout)

    def _observe(self, event: TelemetryEvent) -> None:
        # Logs first: a line that tells of running out of memory must be known when the invocation ends.
        self.logs.observe(event)
        if type(event) is not LogLine:
            self.tracker.observe(event)

    def _tracker(self, boot: Boot, wall_clock: WallClock, observers: list[InvocationObserver]) -> InvocationTracker:
        return InvocationTracker(
            now_ns=wall_clock,
            sandbox_started_ns=None if self.function.is_snapstart else boot.started_ns,
            observers=observers,
            has_invoke_events=not self.function.is_managed,
            is_new_sandbox=not boot.lives,
        )

    def _tags(self) -> TagSet:
        config = self.config
        return function_tags(
            self.function,
            agent_version=version,
            env=config.general.env,
            service=config.general.service,
            version=config.general.version,
            tags=config.general.all_tags,
        )

    def _metric_tags(self, tags: TagSet) -> TagSet:
        return tags.with_tags(pair for pair in self.config.metrics.tags if pair[0] not in tags)

    def _key_state(self) -> str:
        if self.resolved_key is not None:
            return self.resolved_key.state
        return "none" if self.config.api_key.plain is None else "from DD_API_KEY"

    def _is_in_trouble(self) -> bool:
        return any(fanout.is_in_trouble for fanout in self.fanouts.values())


class _FirstInvocation(InvocationObserver):
    """Learns at the first invocation what could not be known before."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def on_invoke(self, invocation: Invocation) -> None:
        if invocation.is_first:
            self._agent.enhanced.set_runtime(find_runtime_name())
            self._agent.complete_account(invocation.arn or "")


def assemble(config: Config, registration: Registration, boot: Boot, source: EventSource) -> Agent:
    """The agent of this process's environment."""
    function = read_function(os.environ, registration)
    return Agent(config, function=function, boot=boot, source=source, environ=os.environ)


def _continuous(configured: Strategy) -> Strategy:
    """The strategy of Managed Instances; who asked for another is told."""
    strategy = for_managed_instances(configured)
    if configured not in (strategy, default_strategy):
        log.warning(
            "setting_ignored",
            about="DD_SERVERLESS_FLUSH_STRATEGY",
            problem=f"{configured} cannot be had on Managed Instances, where invocations overlap",
            instead=str(strategy),
        )
    return strategy


def _new_id() -> str:
    from uuid import uuid4

    return str(uuid4())


def _compressor(level: int, coding: Coding = Coding.ZSTD) -> Compressor:
    return Compressor(coding, level) if level else Compressor(Coding.IDENTITY)
