"""The agent asks a resolver of its own what anybody would ask, and notes how long the answer took (M1, M2).

These questions say that they are probes: the resolution log has them as such, and no figure counts them.
"""

import time
from contextlib import suppress
from datetime import UTC, datetime
from urllib.parse import quote

import aiohttp
from asyncpg import Connection
from yarl import URL

from node.store.monitor_days import fetch_samples
from registry.latencies import Latencies
from registry.store.latencies import add_latencies

ROUND_SECONDS = 60.0
PREFIXES_PER_ROUND = 100  # of more prefixes the next ones follow in the next round
PATIENCE_SECONDS = 5.0
HEADER = "X-Idnode-Probe"
UNKNOWN = "ping-handle"  # is asked for under a prefix that has no identifier yet


class Prober:
    """Goes round the prefixes that are hosted here."""

    def __init__(self, url: str, token: str, node_prefixes: tuple[str, ...]) -> None:
        self._url, self._headers, self._node_prefixes = (
            url,
            {HEADER: token, "Accept": "application/json"},
            node_prefixes,
        )
        self._after = 0

    async def look(self, conn: Connection) -> None:
        """One round. A resolver that does not answer gives no figures: whether it runs is others' to watch."""
        samples = await fetch_samples(conn, self._node_prefixes, self._after, PREFIXES_PER_ROUND)
        self._after = samples[-1]["prefix_id"] if len(samples) == PREFIXES_PER_ROUND else 0
        latencies = Latencies()
        # It is ourselves that we ask: whether the name in the certificate fits does not matter.
        connector, timeout = aiohttp.TCPConnector(ssl=False), aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
        with suppress(aiohttp.ClientError, OSError, TimeoutError):
            async with aiohttp.ClientSession(connector=connector, timeout=timeout, headers=self._headers) as session:
                await _ask(session, f"{self._url}/health")  # connecting is the network's part, not the answer's
                for sample in samples:
                    handle = f"{sample['prefix']}/{sample['suffix'] or UNKNOWN}"
                    took = await _ask(session, f"{self._url}/api/handles/{quote(handle, safe='/')}")
                    if took is not None:
                        latencies.note([sample["prefix_id"]], took, datetime.now(UTC))
        spans = latencies.take()
        if spans:
            async with conn.transaction():
                await add_latencies(conn, "resolve", spans)


async def _ask(session: aiohttp.ClientSession, address: str) -> float | None:
    """Seconds until the answer was there; None for one that is none."""
    began = time.perf_counter()
    async with session.get(URL(address, encoded=True), allow_redirects=False) as answer:
        await answer.read()
        return time.perf_counter() - began if answer.status < 500 else None
