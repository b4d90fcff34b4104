"""A first item, so that a new stack has something to show: `python -m app.seed`, safe to run again."""

from __future__ import annotations

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from app.database import engine
from app.models import Item


def main() -> None:
    with Session(engine()) as session:
        if session.scalar(select(exists().select_from(Item))):
            print("seed: there are items already")
            return
        session.add(Item(name="Welcome aboard"))
        session.commit()
        print("seed: first item added")


if __name__ == "__main__":
    main()
