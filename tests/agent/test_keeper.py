"""The keeper, as a process, with agents that misbehave in every way. Real sockets and forks; the bounds are generous."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from tests.support.stand_in import StandIn, open_stand_in

# Takes the agent's place in the forked process: `agent` is the body of run_agent(link, lives).
faked = """
import os, sys, time, types
def run_agent(boot):
    link = boot.link
    assert link.recv(65536)[:1] == b"R"
    def agent(link, lives):
{agent}
    return agent(link, boot.lives) or 0
sys.modules["ddx_agent.extension"] = types.SimpleNamespace(run_agent=run_agent)
from ddx_agent import bootstrap, patience
patience.hung_after_ticks = 2
patience.start_ask_ticks = 5
patience.tick_ms = 100
sys.exit(bootstrap.run_extension())
"""

faithful = """
while True:
    link.send(b"N")
    frame = link.recv(65536)
    if b"SHUTDOWN" in frame or not frame:
        return 0
"""


def environment_of(stand_in: StandIn) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "AWS_LAMBDA_RUNTIME_API": stand_in.address,
        "DDX_TELEMETRY_HOST": "127.0.0.1",
        "DDX_LIFECYCLE_PORT": "0",
        "DD_DOGSTATSD_PORT": "0",
        "DD_APM_RECEIVER_PORT": "0",
        "DDX_TELEMETRY_PORT": "0",
    }


# Here the agent's own code cannot even be imported; that is known before or after Lambda has answered the registration.
broken = """
import sys, time, types
class Extension(types.ModuleType):
    def __getattr__(self, name):
        time.sleep({import_s})
        raise AttributeError(name)
sys.modules["ddx_agent.extension"] = Extension("ddx_agent.extension")
from ddx_agent import bootstrap
from ddx_agent.lambda_calls import LambdaCalls
register = LambdaCalls.register
def register_late(self):
    time.sleep({register_s})
    return register(self)
LambdaCalls.register = register_late
sys.exit(bootstrap.run_extension())
"""


# The kernel has no more descriptors, or no more processes.
unforkable = """
import _socket, os, sys
def refuse(*_):
    raise OSError(11, "no more of them")
{call} = refuse
from ddx_agent import bootstrap
sys.exit(bootstrap.run_extension())
"""


real = "import sys\nfrom ddx_agent import bootstrap\nsys.exit(bootstrap.run_extension())"


def open_keeper(stand_in: StandIn, agent: str) -> AbstractAsyncContextManager[trio.Process]:
    return open_script(stand_in, faked.format(agent=textwrap.indent(textwrap.dedent(agent), " " * 8)))


@asynccontextmanager
async def open_script(stand_in: StandIn, script: str, **settings: str) -> AsyncGenerator[trio.Process]:
    process = await trio.lowlevel.open_process(
        [sys.executable, "-c", script],
        env=environment_of(stand_in) | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        with trio.fail_after(20):
            yield process
    finally:
        with trio.CancelScope(shield=True):
            process.kill()
            await process.wait()
            assert process.stdout is not None
            await process.stdout.aclose()


async def output_of(process: trio.Process) -> str:
    assert process.stdout is not None
    text = b""
    async for chunk in process.stdout:
        text += chunk
    return text.decode()


async def live_out(lambda_: StandIn, keeper: trio.Process, *, invocations: int = 0, within_s: float = 2.0) -> str:
    """A life from the first `next` to an orderly end; what the keeper and its agents said in it."""
    for number in range(invocations):
        await lambda_.asked_for_next()
        await lambda_.invoke(f"r{number}")
    await lambda_.asked_for_next()
    await lambda_.shutdown(within_s=within_s)
    assert await keeper.wait() == 0
    return await output_of(keeper)


async def test_registers_by_the_name_that_libraries_look_for_and_asks_for_the_account() -> None:
    async with open_stand_in() as lambda_, open_keeper(lambda_, faithful) as keeper:
        await live_out(lambda_, keeper)
        assert lambda_.bodies[0] == {"events": ["INVOKE", "SHUTDOWN"]}


async def test_asks_for_the_next_event_only_when_the_agent_is_ready() -> None:
    agent = """
    link.send(b"N")
    link.recv(65536)
    time.sleep(0.15)
    link.send(b"H")
    time.sleep(0.15)
    link.send(b"N")
    link.recv(65536)
    """
    async with open_stand_in() as lambda_, open_keeper(lambda_, agent) as keeper:
        await lambda_.asked_for_next()
        await lambda_.invoke("r1")
        await trio.testing.wait_all_tasks_blocked()
        assert lambda_.calls.count("next") == 1
        await live_out(lambda_, keeper)


async def test_agent_killed_in_mid_invocation_is_replaced_and_lambda_sees_nothing() -> None:
    agent = f"""
    if lives == 0:
        link.send(b"N")
        link.recv(65536)
        os.kill(os.getpid(), 9)
    {textwrap.indent(faithful.strip(), "    ").strip()}
    """
    async with open_stand_in() as lambda_, open_keeper(lambda_, agent) as keeper:
        assert "died (signal 9)" in await live_out(lambda_, keeper, invocations=2)


async def test_agent_that_dies_every_time_is_given_up_and_the_function_still_runs() -> None:
    async with open_stand_in() as lambda_, open_keeper(lambda_, "os._exit(7)") as keeper:
        said = await live_out(lambda_, keeper, invocations=8)
        assert said.count("died (exit code 7)") == 4
        assert "none is started any more" in said


async def test_agent_that_hangs_is_replaced() -> None:
    agent = f"""
    if lives == 0:
        link.send(b"N")
        link.recv(65536)
        time.sleep(60)
    {textwrap.indent(faithful.strip(), "    ").strip()}
    """
    async with open_stand_in() as lambda_, open_keeper(lambda_, agent) as keeper:
        assert "has not answered" in await live_out(lambda_, keeper, invocations=1)


async def test_keeper_asks_before_the_deadline_when_the_agent_is_alive_but_late() -> None:
    agent = """
    link.send(b"N")
    link.recv(65536)
    for _ in range(100):
        link.send(b"H")
        time.sleep(0.05)
    """
    async with open_stand_in() as lambda_, open_keeper(lambda_, agent) as keeper:
        await lambda_.asked_for_next()
        await lambda_.invoke("r1", deadline_s=0.6)
        with trio.fail_after(3):
            await lambda_.asked_for_next()
        await live_out(lambda_, keeper, within_s=0.2)


async def test_agent_that_cannot_run_leaves_an_idle_extension() -> None:
    async with open_stand_in() as lambda_, open_keeper(lambda_, 'link.send(b"I"); return 3') as keeper:
        assert "died" not in await live_out(lambda_, keeper, invocations=3)


@pytest.mark.parametrize(("import_s", "register_s"), [(0, 0.3), (0.3, 0)])
async def test_agent_that_cannot_be_imported_is_told_of_once_and_not_tried_again(
    import_s: float, register_s: float
) -> None:
    script = broken.format(import_s=import_s, register_s=register_s)
    async with open_stand_in() as lambda_, open_script(lambda_, script) as keeper:
        said = await live_out(lambda_, keeper, invocations=1)
        assert said.count("the agent cannot run") == 1
        assert "died" not in said


@pytest.mark.parametrize("call", ["_socket.socketpair", "os.fork"])
async def test_agent_that_cannot_be_forked_leaves_an_idle_extension(call: str) -> None:
    async with open_stand_in() as lambda_, open_script(lambda_, unforkable.format(call=call)) as keeper:
        said = await live_out(lambda_, keeper, invocations=2)
        assert said.count("cannot be forked (no more of them)") == 1


@pytest.mark.parametrize("package", ["trio", "h11", "httpx"])
async def test_a_missing_package_leaves_an_idle_extension_that_says_once_what_is_missing(
    tmp_path: Path, package: str
) -> None:
    (tmp_path / f"{package}.py").write_text("raise ImportError('this package is missing')")
    async with open_stand_in() as lambda_, open_script(lambda_, real, PYTHONPATH=str(tmp_path)) as keeper:
        said = await live_out(lambda_, keeper, invocations=3)
        assert said.count("this package is missing") == 1
        assert "died" not in said


async def test_a_host_that_cannot_exist_costs_that_port_alone() -> None:
    # Python refuses such a name before the system is asked, and not by an OSError.
    settings = {"DDX_TELEMETRY_HOST": "hôte..local"}
    async with open_stand_in() as lambda_, open_script(lambda_, real, **settings) as keeper:
        said = await live_out(lambda_, keeper, invocations=1)
        assert said.count("the host's name cannot be used") == 1
        assert "agent_failed" not in said


async def test_agent_that_ignores_shutdown_is_killed_at_the_deadline() -> None:
    agent = """
    link.send(b"N")
    link.recv(65536)
    time.sleep(60)
    """
    async with open_stand_in() as lambda_, open_keeper(lambda_, agent) as keeper:
        await live_out(lambda_, keeper, within_s=0.3)


async def test_agent_killed_at_shutdown_is_told() -> None:
    agent = """
    link.send(b"N")
    link.recv(65536)
    os.kill(os.getpid(), 9)
    """
    async with open_stand_in() as lambda_, open_keeper(lambda_, agent) as keeper:
        assert "before its last flush was over (signal 9)" in await live_out(lambda_, keeper)


async def test_agent_killed_while_it_starts_is_replaced_within_the_init_phase() -> None:
    agent = f"""
    if lives == 0:
        os.kill(os.getpid(), 9)
    os.write(1, b"init over: %d" % boot.is_init_over)
    {textwrap.indent(faithful.strip(), "    ").strip()}
    """
    async with open_stand_in() as lambda_, open_keeper(lambda_, agent) as keeper:
        assert "init over: 0" in await live_out(lambda_, keeper)


async def test_keeper_asks_within_lambdas_limit_for_an_agent_that_never_starts() -> None:
    async with open_stand_in() as lambda_, open_keeper(lambda_, "time.sleep(60)") as keeper:
        assert "the agent has not started" in await live_out(lambda_, keeper, within_s=0.2)


async def test_closed_standard_streams_and_an_impossible_host_end_nothing() -> None:
    async with open_stand_in() as lambda_:
        script = faked.format(agent=textwrap.indent(faithful, " " * 8))
        environment = environment_of(lambda_) | {"DDX_TELEMETRY_HOST": "\udcff\udcfe"}
        # The shell closes what the keeper would otherwise write to; its sockets must not take these numbers.
        command = ["/bin/sh", "-c", 'exec "$0" -c "$1" <&- >&- 2>&-', sys.executable, script]
        process = await trio.lowlevel.open_process(command, env=environment)
        with trio.fail_after(20):
            await lambda_.asked_for_next()
            await lambda_.shutdown()
            assert await process.wait() == 0


async def test_refused_registration_ends_with_code_1_and_says_why() -> None:
    async with open_stand_in(register_status=403) as lambda_, open_keeper(lambda_, faithful) as keeper:
        assert await keeper.wait() == 1
        said = await output_of(keeper)
        assert "status 403" in said
        assert "died" not in said
        assert lambda_.calls == ["register"]


async def test_without_a_runtime_api_the_command_explains_itself() -> None:
    done = await trio.run_process(
        [sys.executable, "-m", "ddx_agent", "extension"],
        env={"PATH": os.environ["PATH"]},
        check=False,
        capture_stderr=True,
    )
    assert done.returncode == 2
    assert b"AWS_LAMBDA_RUNTIME_API" in done.stderr
