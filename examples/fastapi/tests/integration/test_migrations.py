from __future__ import annotations


def test_items_made_before_the_revision_get_their_own_time(empty_schema):
    empty_schema.migrate("0002")
    empty_schema.execute("INSERT INTO items (name, created_at) VALUES ('old', '2020-02-02 00:00+00')")
    empty_schema.migrate("0003")
    assert empty_schema.execute("SELECT updated_at = created_at FROM items") == [(True,)]


def test_a_release_that_does_not_know_the_new_column_can_still_write(empty_schema):
    empty_schema.migrate("head")
    empty_schema.execute("INSERT INTO items (name) VALUES ('from the old release')")
    assert empty_schema.execute("SELECT updated_at IS NOT NULL FROM items") == [(True,)]


def test_the_migrations_make_what_the_models_describe(empty_schema):
    empty_schema.migrate("head")
    empty_schema.assert_models_agree()


def test_the_migrations_go_back_to_nothing_and_up_again(empty_schema):
    empty_schema.migrate("head")
    empty_schema.migrate("base")
    left = empty_schema.execute(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = %s", empty_schema.name
    )
    assert left == [("alembic_version",)]
    empty_schema.migrate("head")
