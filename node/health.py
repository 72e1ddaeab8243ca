"""Whether the services of one part answer: quick, and without the database, for health checks of containers.

A node whose database is away still resolves: killing its containers would not bring the database back.
"""

import asyncio
import time

from node.listening import list_places, list_toplevel_places
from node.readiness import ask_all
from node.settings import NodeSettings
from schemas.errors import InvalidInput
from schemas.process_stats import FRESH_SECONDS, read_stats

PLACES = {"registry": ("registry",), "resolver": ("http", "handle-tcp", "handle-udp"), "agent": ()}
DATABASE_AWAY = "503"  # what /health of the registry answers then: it does all it can


def examine_part(settings: NodeSettings, part: str) -> list[str]:
    """What is wrong, one line each; raises InvalidInput for a part that there is not."""
    if part == "toplevel":
        places = list_toplevel_places(settings)
    elif part == "node":
        places = list_places(settings)
    elif part in PLACES:
        places = [place for place in list_places(settings) if place.name in PLACES[part]]
    else:
        raise InvalidInput("field_not_a_choice", field="part", choices="node, registry, resolver, agent, toplevel")
    answers = asyncio.run(ask_all(places))
    problems = [
        f"{answer.place.name} {answer.url}: {answer.problem}"
        for answer in answers
        if answer.problem and DATABASE_AWAY not in answer.problem
    ]
    if part in ("agent", "node"):
        written = read_stats(settings.stats_dir).get("agent", {}).get("written", 0.0)
        if time.time() - written > FRESH_SECONDS:
            problems.append("agent: silent")
    return problems
