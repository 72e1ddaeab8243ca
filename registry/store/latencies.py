"""SQL of latencies by day; the caller owns the transaction."""

from collections.abc import Mapping
from dataclasses import astuple

from asyncpg import Connection

from registry.latencies import Key, Span


async def add_latencies(conn: Connection, kind: str, spans: Mapping[Key, Span]) -> None:
    """Add what was noted; `kind`: resolve or register. In order of keys, so that two writers wait and never block."""
    await conn.executemany(
        "INSERT INTO monitor_days AS m (kind, prefix_id, day, number, total_us, longest_us, longest_at, shortest_us,"
        " shortest_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (prefix_id, day, kind) DO UPDATE SET"
        " number = m.number + excluded.number, total_us = m.total_us + excluded.total_us,"
        " longest_at = CASE WHEN excluded.longest_us > m.longest_us THEN excluded.longest_at ELSE m.longest_at END,"
        " longest_us = greatest(m.longest_us, excluded.longest_us),"
        " shortest_at = CASE WHEN excluded.shortest_us < m.shortest_us THEN excluded.shortest_at ELSE m.shortest_at"
        " END, shortest_us = least(m.shortest_us, excluded.shortest_us)",
        [(kind, *key, *astuple(span)) for key, span in sorted(spans.items(), key=lambda item: item[0])],
    )
