"""When an item was last changed: for the items that exist, when it was made"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The server fills it in, so the release before this one can go on adding items while this runs and after.
    op.add_column("items", sa.Column("updated_at", sa.DateTime(timezone=True)))
    op.alter_column("items", "updated_at", server_default=sa.func.now())
    op.execute("UPDATE items SET updated_at = created_at WHERE updated_at IS NULL")
    op.alter_column("items", "updated_at", nullable=False)


def downgrade() -> None:
    op.drop_column("items", "updated_at")
