"""Prices"""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The first statement works: what it did must be gone after the second one failed.
    op.execute("DELETE FROM items")
    op.execute("ALTER TABLE items ADD COLUMN price integer NOT NULL DEFAULT 'nothing'")
