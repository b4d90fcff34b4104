from __future__ import annotations

import django.db.models.functions.datetime
from django.core.validators import ProhibitNullCharactersValidator
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    dependencies = ()
    operations = (
        migrations.CreateModel(
            name="Note",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("text", models.CharField(max_length=280, validators=[ProhibitNullCharactersValidator()])),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={"ordering": ("-id",)},
        ),
    )
