from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = (("notes", "0001_initial"),)
    operations = (
        # The default is the database's: the release before this one goes on adding notes without the column.
        migrations.AddField("note", "words", models.PositiveIntegerField(db_default=0)),
    )
