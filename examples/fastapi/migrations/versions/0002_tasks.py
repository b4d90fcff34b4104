"""Jobs, ticks, and the tables of Celery's result backend"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("n", sa.Integer, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
    )
    op.create_table(
        "ticks",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("period", sa.DateTime(timezone=True), nullable=False, index=True),
        sa.Column("ran_at", sa.DateTime(timezone=True)),
    )
    # Made here and not by the first process that stores a result: two that start together would race for it, and the
    # application's user then needs no right to make tables.
    op.execute(sa.schema.CreateSequence(sa.Sequence("task_id_sequence")))
    op.create_table(
        "celery_taskmeta",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("task_id", sa.String(155), unique=True),
        sa.Column("status", sa.String(50)),
        sa.Column("result", sa.LargeBinary),
        sa.Column("date_done", sa.DateTime, index=True),
        sa.Column("traceback", sa.Text),
        sa.Column("children", sa.LargeBinary),
    )
    op.execute(sa.schema.CreateSequence(sa.Sequence("taskset_id_sequence")))
    op.create_table(
        "celery_tasksetmeta",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("taskset_id", sa.String(155), unique=True),
        sa.Column("result", sa.LargeBinary),
        sa.Column("date_done", sa.DateTime, index=True),
    )


def downgrade() -> None:
    op.drop_table("celery_tasksetmeta")
    op.execute(sa.schema.DropSequence(sa.Sequence("taskset_id_sequence")))
    op.drop_table("celery_taskmeta")
    op.execute(sa.schema.DropSequence(sa.Sequence("task_id_sequence")))
    op.drop_table("ticks")
    op.drop_table("jobs")
