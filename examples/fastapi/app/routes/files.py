from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from starlette.requests import ClientDisconnect

from app.storage import FileTooLargeError, NoSuchFileError, storage

router = APIRouter()

# No slash, no leading dot: a name is one name everywhere.
FileName = Annotated[str, Path(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$", examples=["manifest.pdf"])]


class FileOut(BaseModel):
    name: str
    size: int


@router.put("/files/{name}", status_code=201)
async def write_file(name: FileName, request: Request) -> FileOut:
    too_large = HTTPException(413, f"at most {storage().limit} bytes")
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > storage().limit:
        raise too_large
    try:
        size = await storage().write(name, request.stream())
    except FileTooLargeError:
        raise too_large from None
    except ClientDisconnect:
        raise HTTPException(400, "the upload broke off") from None  # for the log: nobody is there to read it
    return FileOut(name=name, size=size)


@router.get("/files/{name}", response_class=StreamingResponse)
def read_file(name: FileName) -> StreamingResponse:
    try:
        stored = storage().read(name)
    except NoSuchFileError:
        raise HTTPException(404, "no such file") from None
    # Always bytes, whatever was sent: a page uploaded by one visitor must not run in the browser of another.
    headers = {"Content-Length": str(stored.size), "X-Content-Type-Options": "nosniff"}
    return StreamingResponse(stored.chunks, media_type="application/octet-stream", headers=headers)
