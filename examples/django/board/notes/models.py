from __future__ import annotations

from django.core.validators import ProhibitNullCharactersValidator
from django.db import models
from django.db.models.functions import Now


class Note(models.Model):
    text = models.CharField(max_length=280, validators=[ProhibitNullCharactersValidator()])  # PostgreSQL has no NUL
    words = models.PositiveIntegerField(db_default=0)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return self.text

    def save(self, *args: object, **kwargs: object) -> None:
        self.words = len(self.text.split())
        super().save(*args, **kwargs)
