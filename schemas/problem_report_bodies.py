"""Bodies of `/api/v1` about problem reports."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from schemas.bodies import IDENTIFIER, PREFIX, Body, Request

ReportKind = Literal["mismatch", "counterfeit", "data", "damaged", "other"]
ReportState = Literal["open", "in_work", "closed"]


class ReportBody(Body):
    """How to reach who reported is not in it: `POST …/contact` with a reason."""

    report_id: Annotated[int, Field(examples=[17])]
    identifier: IDENTIFIER
    prefix: PREFIX
    enterprise_id: int | None
    enterprise: str
    kind: ReportKind
    description: Annotated[str, Field(examples=["The label says 15 kW, the pump 7.5 kW."])]
    has_contact: bool
    state: ReportState
    created: datetime
    changed: datetime


class ReportDecisionBody(Body):
    at: datetime
    actor: Annotated[str, Field(examples=["account:wang.li"])]
    state: ReportState
    note: str


class ReportDetailBody(ReportBody):
    decisions: Annotated[list[ReportDecisionBody], Field(description="Oldest first.")]


class ReportPage(Body):
    reports: list[ReportBody]
    waiting: Annotated[dict[str, int], Field(examples=[{"open": 3, "in_work": 1}])]
    next: Annotated[int | None, Field(description="Goes into `after` for the following page.", examples=[17])]


class ReportDecision(Request):
    """Closing, and opening again, need a note."""

    state: ReportState
    note: Annotated[str, Field(max_length=1_000, examples=["Wrong label of batch 7; replaced."])] = ""


class ContactQuestion(Request):
    reason: Annotated[str, Field(max_length=1_000, examples=["To ask for a photograph of the label."])]


class ContactBody(Body):
    """Empty if nothing was left, or half a year after the report was closed."""

    contact: Annotated[str, Field(examples=["138 0000 0000"])]
