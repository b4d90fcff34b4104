#!/bin/sh
# Roles, databases, extensions and passwords as the inventory wants them; runs in the container, changes only what differs.
# Prints one line "changed: ..." for each change. With --check it only says what it would do.
set -eu

check=${1:-}
secrets=/run/secrets
here=$(dirname "$0")

# Statements come from standard input, so that no password shows in a list of processes; none of them is logged.
sql() {
    database=$1
    shift
    {
        echo "SET log_statement = 'none'; SET log_min_error_statement = 'panic'; SET log_min_duration_statement = -1;"
        cat
    } | psql --no-psqlrc --quiet --tuples-only --no-align --set ON_ERROR_STOP=1 --username postgres --dbname "$database" "$@"
}

# What sql() reads has the role and the file of its password in psql variables.
can_log_in() {
    PGPASSWORD=$(cat "$secrets/$2") psql --no-psqlrc --quiet --host 127.0.0.1 --username "$1" --dbname "$3" --command 'SELECT 1' >/dev/null 2>&1
}

changed() {
    echo "changed: $1"
    [ "$check" != --check ]
}

set_password() {
    sql postgres --set role="$1" --set file="$secrets/$2" <<'SQL'
\set password `cat :'file'`
ALTER ROLE :"role" LOGIN PASSWORD :'password';
SQL
}

if ! can_log_in postgres postgres_admin postgres && changed "password of postgres"; then
    set_password postgres postgres_admin
fi

while read -r name secret extensions; do
    [ -n "$name" ] || continue
    role_there=$(echo "SELECT 1 FROM pg_roles WHERE rolname = :'name';" | sql postgres --set name="$name")
    database_there=$(echo "SELECT 1 FROM pg_database WHERE datname = :'name';" | sql postgres --set name="$name")
    if [ -z "$role_there" ] && changed "role $name"; then
        echo "CREATE ROLE :\"name\" LOGIN;" | sql postgres --set name="$name"
        set_password "$name" "$secret"
    fi
    if [ -z "$database_there" ] && changed "database $name"; then
        printf '%s\n' "CREATE DATABASE :\"name\" OWNER :\"name\";" "REVOKE ALL ON DATABASE :\"name\" FROM PUBLIC;" | sql postgres --set name="$name"
    fi
    if [ -n "$role_there" ] && [ -n "$database_there" ] && ! can_log_in "$name" "$secret" "$name" && changed "password of $name"; then
        set_password "$name" "$secret"
    fi
    [ "$extensions" != - ] || continue
    for extension in $(echo "$extensions" | tr , ' '); do
        extension_there=
        if [ -n "$database_there" ] || [ "$check" != --check ]; then
            extension_there=$(echo "SELECT 1 FROM pg_extension WHERE extname = :'extension';" | sql "$name" --set extension="$extension")
        fi
        if [ -z "$extension_there" ] && changed "extension $extension in $name"; then
            echo "CREATE EXTENSION :\"extension\";" | sql "$name" --set extension="$extension"
        fi
    done
done < "$here/applications"
