"""Bodies of `/api/v1/applications`."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Kind = Literal["app", "mini_program", "web", "pc", "other"]


class Details(BaseModel):
    """What is told of an application; unknown members are refused. `recursion`: the recursive node it asks."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(max_length=1_000, examples=["扫码查泵"])]
    kind: Annotated[Kind, Field(examples=["mini_program"])]
    intro: Annotated[str, Field(max_length=2_000, examples=["扫描泵体上的标识，查看型号与检验报告"])] = ""
    users: Annotated[int | None, Field(ge=0, le=10**12, examples=[1200])] = None
    developer: Annotated[str, Field(max_length=255, examples=["示例软件有限公司"])] = ""
    recursion: Annotated[str, Field(max_length=255)] = ""
    recursion_ip: Annotated[str, Field(max_length=45, examples=["203.0.113.9"])] = ""
    recursion_port: Annotated[int | None, Field(ge=1, le=65_535, examples=[2641])] = None


class NewApplication(Details):
    """`prefix`: that of the enterprise, or a secondary prefix for an application of the node itself."""

    prefix: Annotated[str, Field(max_length=100, examples=["88.101.5"])]


class ApplicationBody(BaseModel):
    """`users` null: not known. `retired` null: it is reported."""

    application_id: Annotated[int, Field(examples=[7])]
    prefix: Annotated[str, Field(examples=["88.101.5"])]
    name: Annotated[str, Field(examples=["扫码查泵"])]
    kind: Kind
    intro: str
    users: int | None
    developer: str
    recursion: str
    recursion_ip: str | None
    recursion_port: int | None
    actor: Annotated[str, Field(examples=["account:li"])]
    created: Annotated[str, Field(examples=["2026-11-20T02:00:00Z"])]
    changed: str
    retired: str | None


class ApplicationList(BaseModel):
    """At most 1,000; `month` is the one that was reported last, null if none was."""

    applications: list[ApplicationBody]
    month: Annotated[str | None, Field(examples=["2026-11"])]
