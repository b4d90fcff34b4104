"""The number of words of the notes that were there before anybody counted."""

from __future__ import annotations

from django.db import migrations


def count_words(apps, _schema_editor):
    note_model = apps.get_model("notes", "Note")
    for note in note_model.objects.filter(words=0).iterator():
        note.words = len(note.text.split())
        note.save(update_fields=["words"])


class Migration(migrations.Migration):
    dependencies = (("notes", "0002_note_words"),)
    operations = (migrations.RunPython(count_words, migrations.RunPython.noop),)
