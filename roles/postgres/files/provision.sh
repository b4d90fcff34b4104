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
    PGPASSWORD=$(cat "$secrets/$2") psql --no-psqlrc --quiet --host 127.0.0.1 --username "$1" --dbname "${3:-postgres}" --command 'SELECT 1' >/dev/null 2>&1
}

changed() {
    echo "changed: $1"
    [ "$check" != --check ]
}

# One statement, so that no role is left without its password: set_password CREATE|ALTER ROLE SECRET
set_password() {
    sql postgres --set role="$2" --set file="$secrets/$3" <<SQL
\\set password \`cat :'file'\`
$1 ROLE :"role" LOGIN PASSWORD :'password';
SQL
}

# A new database lets every role in.
close_to_others() {
    echo "REVOKE ALL ON DATABASE :\"name\" FROM PUBLIC;" | sql postgres --set name="$1"
}

if ! can_log_in postgres postgres_admin postgres && changed "password of postgres"; then
    set_password ALTER postgres postgres_admin
fi

while read -r name secret extensions; do
    [ -n "$name" ] || continue
    # One question for all: whether there is the role, the database, and whether every role may use it; each word or an empty field.
    found=$(sql postgres --set name="$name" <<'SQL'
SELECT (SELECT 'role' FROM pg_roles WHERE rolname = :'name'),
       (SELECT 'database' FROM pg_database WHERE datname = :'name'),
       (SELECT 'open' FROM pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba))) AS granted
        WHERE datname = :'name' AND grantee = 0 LIMIT 1);
SQL
    )
    role_there=${found%%|*} open_there=${found##*|} database_there=${found#*|}
    database_there=${database_there%|*}
    if [ -z "$role_there" ] && changed "role $name"; then
        set_password CREATE "$name" "$secret"
    fi
    if [ -z "$database_there" ] && changed "database $name"; then
        echo "CREATE DATABASE :\"name\" OWNER :\"name\";" | sql postgres --set name="$name"
        close_to_others "$name"
    fi
    # Each by itself: a run may have been killed after any statement.
    if [ -n "$open_there" ] && changed "database $name closed to other roles"; then
        close_to_others "$name"
    fi
    if [ -n "$role_there" ] && ! can_log_in "$name" "$secret" "${database_there:+$name}" && changed "password of $name"; then
        set_password ALTER "$name" "$secret"
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
