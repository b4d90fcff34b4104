from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from app.cache import item_cache
from app.database import DatabaseSession
from app.models import Item

router = APIRouter()

ItemId = Annotated[int, Path(ge=1, lt=2**63)]


class ItemIn(BaseModel):
    # No NUL: PostgreSQL's text cannot hold it.
    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00]*$")]


class ItemOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int = Field(examples=[1])
    name: str = Field(examples=["rope"])


def _existing(session: DatabaseSession, item_id: int) -> Item:
    item = session.get(Item, item_id)
    if item is None:
        raise HTTPException(404, "no such item")
    return item


@router.post("/items", status_code=201)
def create_item(given: ItemIn, session: DatabaseSession) -> ItemOut:
    item = Item(name=given.name)
    session.add(item)
    session.commit()
    return ItemOut.model_validate(item)


@router.get("/items/{item_id}", response_model=ItemOut)
def read_item(item_id: ItemId, session: DatabaseSession) -> Response:
    def load() -> str | None:
        item = session.get(Item, item_id)
        return ItemOut.model_validate(item).model_dump_json() if item else None

    document, hit = item_cache().read(item_id, load)
    headers = {"X-Cache": "hit" if hit else "miss"}
    if document is None:
        raise HTTPException(404, "no such item", headers)
    return Response(document, media_type="application/json", headers=headers)


@router.put("/items/{item_id}")
def change_item(item_id: ItemId, given: ItemIn, session: DatabaseSession) -> ItemOut:
    item = _existing(session, item_id)
    item.name = given.name
    session.commit()
    item_cache().forget(item_id)
    return ItemOut.model_validate(item)


@router.delete("/items/{item_id}", status_code=204)
def delete_item(item_id: ItemId, session: DatabaseSession) -> None:
    session.delete(_existing(session, item_id))
    session.commit()
    item_cache().forget(item_id)
