"""The agent asks a resolver of its own what anybody would ask, and notes how long the answer took (M1, M2).

These questions say that they are probes: the resolution log has them as such, and no figure counts them.
"""

import time
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from urllib.parse import quote

import aiohttp
from asyncpg import Connection
from yarl import URL

from node.store.monitor_days import fetch_samples
from node.store.monthly_reports import add_operating
from registry.latencies import Latencies
from registry.store.latencies import add_latencies
from schemas.days import get_day, get_start

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
        self._answered: datetime | None = None

    async def look(self, conn: Connection) -> None:
        """One round. A resolver that does not answer gives no figures: whether it runs is others' to watch.

        The time between two rounds that were answered is time of operation, as the monthly report has it.
        """
        before, self._answered = self._answered, None
        samples = await fetch_samples(conn, self._node_prefixes, self._after, PREFIXES_PER_ROUND)
        self._after = samples[-1]["prefix_id"] if len(samples) == PREFIXES_PER_ROUND else 0
        latencies = Latencies()
        # It is ourselves that we ask: whether the name in the certificate fits does not matter.
        connector, timeout = aiohttp.TCPConnector(ssl=False), aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
        with suppress(aiohttp.ClientError, OSError, TimeoutError):
            async with aiohttp.ClientSession(connector=connector, timeout=timeout, headers=self._headers) as session:
                # Connecting is the network's part, not the answer's.
                if await _ask(session, f"{self._url}/health") is not None:
                    self._answered = datetime.now(UTC)
                for sample in samples:
                    handle = f"{sample['prefix']}/{sample['suffix'] or UNKNOWN}"
                    took = await _ask(session, f"{self._url}/api/handles/{quote(handle, safe='/')}")
                    if took is not None:
                        latencies.note([sample["prefix_id"]], took, datetime.now(UTC))
        spans = latencies.take()
        if before is not None and self._answered is not None:
            await add_operating(conn, cut_days(before, self._answered))
        if spans:
            async with conn.transaction():
                await add_latencies(conn, "resolve", spans)


def cut_days(since: datetime, until: datetime) -> dict[date, int]:
    """Milliseconds by day between two rounds; nothing if they are too far apart, or the clock was set back."""
    if not 0 < (until - since).total_seconds() < 2 * ROUND_SECONDS:
        return {}
    day = get_day(until)
    midnight = get_start(day)
    cut = {get_day(since): midnight - since, day: until - midnight} if since < midnight else {day: until - since}
    return {day: span // timedelta(milliseconds=1) for day, span in cut.items()}


async def _ask(session: aiohttp.ClientSession, address: str) -> float | None:
    """Seconds until the answer was there; None for one that is none."""
    began = time.perf_counter()
    async with session.get(URL(address, encoded=True), allow_redirects=False) as answer:
        await answer.read()
        return time.perf_counter() - began if answer.status < 500 else None
