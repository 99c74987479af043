"""Clean traffic beside an attack, of the same workload: it must not be hurt."""

from __future__ import annotations

import asyncio

from payload import render
from remote import Remote
from scenario import Scenario
from session import Session

PARTS = 6
PACE = 0.08  # seconds between parts
PATIENCE = 3.0  # seconds until all must be acknowledged
# Seconds after which TCP tries again. Where nothing got through for long, as without a gateway,
# it would wait for as long once more, and nobody could tell that from harm that lasts.
AGAIN = 1.0
SUFFIX = ".honest"  # of the sink's name
PORT_DISTANCE = 10_000  # from the attack's port


def sink_name(scenario: Scenario) -> str:
    """Of the sink that takes it."""
    return scenario.name + SUFFIX


class HonestTraffic:
    """One clean connection. `sent`: its bytes, or its datagrams; `late`: not acknowledged."""

    def __init__(self, scenario: Scenario, session: Session, address: str, port: int) -> None:
        self._scenario = scenario
        self._session = session
        self._address = address
        self._port = port
        self._remote = Remote(scenario.name + SUFFIX)
        self.sent: list[bytes] = []

    @property
    def errors(self) -> list[str]:
        """Of the network, as the sender saw them."""
        return self._remote.errors

    async def run(self, over: asyncio.Event) -> None:
        """Send in parts, the last one after the attack is over.

        Raises:
            LabError: the sender failed, not the network.
        """
        honest = self._scenario.honest
        data = render(honest.payload, {}, seed=self._scenario.name + SUFFIX).data
        size = -(-len(data) // PARTS)
        parts = [data[start : start + size] for start in range(0, len(data), size)]
        if honest.after:
            await over.wait()
        try:
            await self._remote.start(self._session, self._scenario.workload)
            await self._remote.order(
                {"do": "open", "key": 0, "kind": honest.sink, "host": self._address}
                | {"port": self._port, "pause": AGAIN}
            )
            self.sent = parts if honest.sink == "udp" else [data]
            for part in parts[:-1]:
                await self._remote.send(0, part)
                await asyncio.sleep(PACE)
            await over.wait()
            await self._remote.send(0, parts[-1])
            if any(await self._remote.drain(PATIENCE)):
                self.errors.append(f"not acknowledged after {PATIENCE:.0f} s")
        finally:
            await self._remote.close()
