from __future__ import annotations

import uuid
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, Field

from app import logs
from app.database import DatabaseSession
from app.models import Job
from app.tasks import celery, sum_of_squares

router = APIRouter()


class JobIn(BaseModel):
    n: Annotated[int, Field(ge=0, le=1_000_000, description="The squares of 1 to n are summed up")]
    seconds: Annotated[float, Field(ge=0, le=60, description="Time to waste first")] = 0


class JobAccepted(BaseModel):
    id: uuid.UUID


class JobOut(BaseModel):
    status: str = Field(description="Celery's word: PENDING, STARTED, RETRY, SUCCESS, FAILURE")
    result: Any = Field(description="Only with SUCCESS")


@router.post("/jobs", status_code=202)
def create_job(given: JobIn, session: DatabaseSession) -> JobAccepted:
    job = Job(id=uuid.uuid4(), n=given.n)
    session.add(job)
    session.commit()  # before it is sent: a fast worker must not be ahead of the row
    try:
        sum_of_squares.apply_async(
            (given.n, given.seconds),
            task_id=str(job.id),
            headers={"request_id": logs.request_id.get()},
            confirm_timeout=5,
        )
    except Exception:
        session.delete(job)
        session.commit()
        raise
    return JobAccepted(id=job.id)


@router.get("/jobs/{job_id}")
def read_job(job_id: uuid.UUID, session: DatabaseSession) -> JobOut:
    if session.get(Job, job_id) is None:  # Celery calls everything it does not know PENDING
        raise HTTPException(404, "no such job")
    meta = celery.backend.get_task_meta(str(job_id))
    return JobOut(status=meta["status"], result=meta["result"] if meta["status"] == "SUCCESS" else None)
