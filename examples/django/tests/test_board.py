"""`python manage.py test`, with DATABASE_URL of a user who may make databases."""

from __future__ import annotations

from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.test import TestCase, TransactionTestCase


class BoardTest(TestCase):
    def test_a_note_that_was_posted_is_on_the_page(self):
        answer = self.client.post("/api/notes", {"text": " two <words> "}, content_type="application/json")
        self.assertEqual(answer.status_code, 201)
        self.assertEqual(answer.json()["text"], "two <words>")
        self.assertEqual(answer.json()["words"], 2)
        self.assertContains(self.client.get("/"), "two &lt;words&gt;")

    def test_what_is_no_note_is_refused(self):
        for body in (
            "",
            "[]",
            "{}",
            '{"text": 1}',
            '{"text": " "}',
            '{"text": "a\\u0000b"}',
            '{"text": "' + "x" * 281 + '"}',
        ):
            with self.subTest(body):
                answer = self.client.post("/api/notes", body, content_type="application/json")
                self.assertEqual(answer.status_code, 400)
        self.assertEqual(self.client.get("/api/notes").json(), {"notes": []})

    def test_it_is_ready_with_its_database(self):
        self.assertEqual(self.client.get("/ready").json(), {"ready": True, "broken": []})


class MigrationTest(TransactionTestCase):
    def test_old_notes_get_their_words_counted(self):
        executor = MigrationExecutor(connection)
        executor.migrate([("notes", "0002_note_words")])
        old = executor.loader.project_state([("notes", "0002_note_words")]).apps.get_model("notes", "Note")
        note = old.objects.create(text="three old words")
        executor.loader.build_graph()
        executor.migrate([("notes", "0003_count_words")])
        note.refresh_from_db()
        self.assertEqual(note.words, 3)
