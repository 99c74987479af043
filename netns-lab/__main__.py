"""The lab's commands: demo, attack, up, down, list."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import report
from actor import FLOWS
from rich.console import Console
from runner import Runner
from scenario import Scenario, ScenarioError, load
from session import Session, Sink
from topology import LabError, Layout

EXAMPLES = """\
examples:
  python netns-lab demo                        all scenarios against the gateway
  python netns-lab demo --only 'split-*'       some of them
  python netns-lab demo --no-gateway           control: what leaks when nothing is in the way
  python netns-lab attack                      the attacks only
  python netns-lab attack --attach clsact      as on kernels before 6.6
  python netns-lab up                          build the lab and leave it
  python netns-lab down                        take it down, also after a crash

exit status: 0 all as expected, 1 something was not, 2 usage, 3 the lab could not be built
"""
PORTS = {"http": 80, "tls": 443, "dns": 53, "tcp": 9000, "udp": 9000}
ENVIRONMENT = 3
INTERRUPTED = 130


def main() -> int:
    """Carry out the command line; the exit status."""
    arguments = parse()
    console = Console(width=None if sys.stdout.isatty() else 160, soft_wrap=False)
    try:
        match arguments.command:
            case "list":
                return list_scenarios(console, chosen(arguments))
            case "up":
                return run(up(console))
            case "down":
                return down(console)
            case _:
                return run(demo(console, arguments))
    except (LabError, ScenarioError) as error:
        print(f"lab: {error}", file=sys.stderr)
        return ENVIRONMENT if isinstance(error, LabError) else 2


def parse() -> argparse.Namespace:
    """The command line."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="netns-lab",
        description="A container host and an internet in network namespaces: real programs try to"
        " leak, the gateway must stop them.",
        epilog=EXAMPLES,
        formatter_class=formatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    only = {"metavar": "NAME", "action": "append", "help": "scenario by name or glob; repeatable"}
    for name, what in (("demo", "run the scenarios"), ("attack", "run the attacks only")):
        run_ = commands.add_parser(name, help=what, formatter_class=formatter)
        run_.add_argument("--only", **only)  # type: ignore[arg-type]
        run_.add_argument("--no-gateway", action="store_true", help="show what leaks without one")
        run_.add_argument(
            "--attach",
            choices=["auto", "clsact"],
            default="auto",
            help="how classifiers are attached: clsact is the only way before kernel 6.6 (auto)",
        )
        run_.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
        run_.add_argument("--keep", action="store_true", help="leave lab and recordings standing")
        run_.add_argument(
            "--flows",
            type=int,
            default=FLOWS,
            metavar="N",
            help=f"flows in a flood of them ({FLOWS:,})",
        )
    commands.add_parser("up", help="build the lab and leave it standing")
    commands.add_parser("down", help="take the lab down, also after a crash")
    list_ = commands.add_parser("list", help="name the scenarios")
    list_.add_argument("--only", **only)  # type: ignore[arg-type]
    return parser.parse_args()


def chosen(arguments: argparse.Namespace) -> list[Scenario]:
    """The scenarios asked for.

    Raises:
        ScenarioError: none has such a name.
    """
    every = load()
    if arguments.command == "attack":
        every = [scenario for scenario in every if scenario.attacks]
    if not arguments.only:
        return every
    found = [scenario for scenario in every if any(map(scenario.fits, arguments.only))]
    if not found:
        names = ", ".join(arguments.only)
        raise ScenarioError(f"no scenario fits {names}: `netns-lab list` names all")
    return found


def run(work: Coroutine[Any, Any, int]) -> int:
    """Run to the end, or until a signal: then clean up all the same."""
    try:
        return asyncio.run(_cancelled_by_signals(work))
    except asyncio.CancelledError:
        print("lab: interrupted, everything taken down", file=sys.stderr)
        return INTERRUPTED


async def _cancelled_by_signals(work: Coroutine[Any, Any, int]) -> int:
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - narrows for mypy

    def stop() -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, lambda: None)  # cleaning up must not be cut short
        task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop)
    return await work


async def demo(console: Console, arguments: argparse.Namespace) -> int:
    """Run scenarios, show and write what came of them."""
    scenarios = chosen(arguments)
    with_gateway = not arguments.no_gateway
    own = dict.fromkeys(scenario.workload for scenario in scenarios if scenario.own_workload)
    session = Session(Layout().with_workloads(own))
    session.begin()
    runner, trouble = None, ""
    try:
        with report.Live(console, len(scenarios)) as live:
            runner = Runner(
                session,
                scenarios,
                with_gateway=with_gateway,
                attach=arguments.attach,
                flows=arguments.flows,
                done=live.done,
                say=live.say,
            )
            results = await runner.run()
        report.show(console, results, with_gateway=with_gateway)
        if arguments.json:
            report.write_json(arguments.json, results, runner.ready_seconds)
    except BaseExceptionGroup as group:
        raise _first(group) from group
    finally:
        try:
            if runner is not None:
                trouble = await runner.finish()
        finally:
            session.end(keep=arguments.keep)
            if trouble:
                print(f"lab: at the end: {trouble}", file=sys.stderr)
    if arguments.keep:
        console.print(f"kept: {session.directory} (make lab-down removes it)", highlight=False)
    print(report.last_line(results, with_gateway=with_gateway))
    leaked = with_gateway and any(result.leaked for result in results)
    return 0 if all(result.ok for result in results) and not leaked and not trouble else 1


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The lab's own error in a group, if there is one: that is what must be told."""
    own = group.subgroup(LabError)
    inner: BaseException = own if own is not None else group
    while isinstance(inner, BaseExceptionGroup):
        inner = inner.exceptions[0]
    return inner


async def up(console: Console) -> int:
    """Build namespaces and sinks and leave them."""
    session = Session()
    session.begin()
    kept = False
    try:
        layout = session.topology.layout
        server = layout.server("sink")
        sinks = [
            Sink(name=f"{kind}-{address}", kind=kind, address=address, port=port)
            for kind, port in PORTS.items()
            for address in (server.ipv4, server.ipv6)
        ]
        await session.start_sinks(sinks, stay=True)
        kept = True
    finally:
        session.end(keep=kept)
    console.print(f"workloads  {', '.join(layout.workload(n).netns for n in layout.workloads)}")
    console.print(f"sinks      {server.ipv4} and {server.ipv6}: ", end="", highlight=False)
    console.print(", ".join(f"{kind} {port}" for kind, port in PORTS.items()), highlight=False)
    console.print(f"recorded   {session.streams}", highlight=False, soft_wrap=True)
    netns = layout.workload("web").netns
    console.print(
        f"try        nsenter --net=/run/netns/{netns} curl -d hello http://{server.ipv4}/",
        highlight=False,
    )
    console.print("end        make lab-down", highlight=False)
    return 0


def down(console: Console) -> int:
    """Take down what is standing."""
    session = Session()
    console.print("lab taken down" if session.take_down() else "there is no lab")
    return 0


def list_scenarios(console: Console, scenarios: list[Scenario]) -> int:
    """Names and titles."""
    width = max(len(scenario.name) for scenario in scenarios)
    for scenario in scenarios:
        console.print(f"{scenario.name:{width}}  {scenario.title}", highlight=False)
    return 0


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        sys.exit(main())
