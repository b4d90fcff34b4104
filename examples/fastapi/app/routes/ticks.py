from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel
from sqlalchemy import func, select

from app.database import DatabaseSession
from app.models import Tick

router = APIRouter()


class Ticks(BaseModel):
    count: int
    last: datetime | None


class Period(BaseModel):
    period: datetime
    sent: int
    ran: int


@router.get("/ticks")
def read_ticks(session: DatabaseSession) -> Ticks:
    count, last = session.execute(select(func.count(Tick.ran_at), func.max(Tick.ran_at))).one()
    return Ticks(count=count, last=last)


@router.get("/ticks/periods")
def read_periods(session: DatabaseSession, limit: Annotated[int, Query(ge=1, le=1000)] = 10) -> list[Period]:
    """The newest periods first. `sent` above 1: two beats ran. A period that is not there: none ran."""
    rows = session.execute(
        select(Tick.period, func.count().label("sent"), func.count(Tick.ran_at).label("ran"))
        .group_by(Tick.period)
        .order_by(Tick.period.desc())
        .limit(limit)
    )
    return [Period(period=row.period, sent=row.sent, ran=row.ran) for row in rows]
