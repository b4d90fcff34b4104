#!/bin/bash
# Makes the cluster on the first start, then becomes the server.
set -euo pipefail

fail() {
    echo "docker-entrypoint: $*" >&2
    exit 1
}

# Set NAME from NAME or from the file named by NAME_FILE.
from_env_or_file() {
    local name=$1 file_name=${1}_FILE default=${2:-}
    local value=${!name:-} file=${!file_name:-}
    if [ -n "$value" ] && [ -n "$file" ]; then
        fail "$name and $file_name are both set; give one of them"
    fi
    if [ -n "$file" ]; then
        [ -r "$file" ] || fail "$file_name: $file is missing or not readable for uid $(id -u)"
        value=$(< "$file")
    fi
    export "$name=${value:-$default}"
    unset "$file_name"
}

# True if the arguments only ask for information, so that nothing has to be set up.
is_question() {
    local arg
    for arg in "$@"; do
        case $arg in
            -'?' | --help | --describe-config | -V | --version) return 0 ;;
        esac
    done
    return 1
}

own_directories() {
    mkdir -p "$PGDATA" /var/run/postgresql
    chmod 700 "$PGDATA" 2>/dev/null || true
    chmod 3777 /var/run/postgresql 2>/dev/null || true
    if [ -n "${POSTGRES_INITDB_WALDIR:-}" ]; then
        mkdir -p "$POSTGRES_INITDB_WALDIR"
        chmod 700 "$POSTGRES_INITDB_WALDIR" 2>/dev/null || true
    fi
    if [ "$(id -u)" = 0 ]; then
        # Only what is wrong: a chown of everything is slow on a large cluster.
        find "$PGDATA" ${POSTGRES_INITDB_WALDIR:+"$POSTGRES_INITDB_WALDIR"} /var/run/postgresql \! -user postgres -exec chown postgres '{}' +
    fi
}

# The network's authentication method; local connections inside the container are trusted.
host_auth_method() {
    echo "${POSTGRES_HOST_AUTH_METHOD:-$(postgres -C password_encryption "$@")}"
}

check_password() {
    if [ -z "$POSTGRES_PASSWORD" ] && [ "${POSTGRES_HOST_AUTH_METHOD:-}" != trust ]; then
        fail "the database has no password yet: set POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE to a value that is not empty"
    fi
}

make_cluster() {
    local args=()
    # As the shell splits it, quotes included.
    eval "args=(${POSTGRES_INITDB_ARGS:-})"
    if [ -n "${POSTGRES_INITDB_WALDIR:-}" ]; then
        args+=(--waldir "$POSTGRES_INITDB_WALDIR")
    fi
    if ! getent passwd "$(id -u)" >/dev/null; then
        # initdb wants a name for its own uid; an arbitrary --user has none, and the root may be read-only.
        local library
        for library in /usr/lib/*/libnss_wrapper.so; do
            [ -e "$library" ] || fail "uid $(id -u) has no name in /etc/passwd; run as 999, or mount an /etc/passwd"
        done
        NSS_WRAPPER_PASSWD=$(mktemp)
        NSS_WRAPPER_GROUP=$(mktemp)
        echo "postgres:x:$(id -u):$(id -g):PostgreSQL:$PGDATA:/bin/false" > "$NSS_WRAPPER_PASSWD"
        echo "postgres:x:$(id -g):" > "$NSS_WRAPPER_GROUP"
        export LD_PRELOAD=$library NSS_WRAPPER_PASSWD NSS_WRAPPER_GROUP
    fi
    initdb --username="$POSTGRES_USER" --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") "${args[@]}"
    if [ -n "${NSS_WRAPPER_PASSWD:-}" ]; then
        rm -f "$NSS_WRAPPER_PASSWD" "$NSS_WRAPPER_GROUP"
        unset LD_PRELOAD NSS_WRAPPER_PASSWD NSS_WRAPPER_GROUP
    fi
}

run_sql() {
    psql -v ON_ERROR_STOP=1 --no-password --no-psqlrc --username "$POSTGRES_USER" "$@"
}

make_database() {
    if [ "$POSTGRES_DB" != postgres ]; then
        run_sql --dbname postgres --set db="$POSTGRES_DB" <<< 'CREATE DATABASE :"db";'
    fi
}

run_init_files() {
    local file
    for file in /docker-entrypoint-initdb.d/*; do
        case $file in
            *.sh)
                echo "docker-entrypoint: running $file"
                if [ -x "$file" ]; then
                    "$file"
                else
                    # shellcheck disable=SC1090  # the user's own file
                    . "$file"
                fi
                ;;
            *.sql) echo "docker-entrypoint: running $file"; run_sql --dbname "$POSTGRES_DB" -f "$file" ;;
            *.sql.gz) echo "docker-entrypoint: running $file"; gunzip -c "$file" | run_sql --dbname "$POSTGRES_DB" ;;
            *.sql.xz) echo "docker-entrypoint: running $file"; xzcat "$file" | run_sql --dbname "$POSTGRES_DB" ;;
            *.sql.zst) echo "docker-entrypoint: running $file"; zstd -dc "$file" | run_sql --dbname "$POSTGRES_DB" ;;
            /docker-entrypoint-initdb.d/\*) ;;
            *) echo "docker-entrypoint: ignoring $file" ;;
        esac
    done
}

# The cluster is made in a folder of PGDATA and moved up when it is whole, so that a first start that was killed is
# started over, and never mistaken for a cluster. PG_VERSION, which marks a cluster, goes last.
first_start() {
    local made=$PGDATA/.init
    if [ ! -e "$PGDATA/.init-done" ]; then
        rm -rf "$made"
        PGDATA=$made prepare_cluster "$@"
        touch "$PGDATA/.init-done"
    fi
    if [ -d "$made" ]; then
        find "$made" -mindepth 1 -maxdepth 1 \! -name PG_VERSION -exec mv -t "$PGDATA" '{}' +
        [ ! -e "$made/PG_VERSION" ] || mv "$made/PG_VERSION" "$PGDATA/"
        rmdir "$made"
    fi
    rm "$PGDATA/.init-done"
    echo "docker-entrypoint: PostgreSQL init process complete; ready for start up."
}

prepare_cluster() {
    from_env_or_file POSTGRES_PASSWORD
    from_env_or_file POSTGRES_USER postgres
    from_env_or_file POSTGRES_DB "$POSTGRES_USER"
    from_env_or_file POSTGRES_INITDB_ARGS
    check_password
    ls /docker-entrypoint-initdb.d/ >/dev/null
    make_cluster
    printf '\nhost all all all %s\n' "$(host_auth_method "${@:2}")" >> "$PGDATA/pg_hba.conf"
    # Nobody outside may see the cluster half made, so this server listens on the socket alone.
    export PGPASSWORD=${PGPASSWORD:-$POSTGRES_PASSWORD}
    shift
    NOTIFY_SOCKET='' pg_ctl -D "$PGDATA" -w start -o "$(printf '%q ' "$@" -c "listen_addresses=" -p "${PGPORT:-5432}")"
    make_database
    run_init_files
    pg_ctl -D "$PGDATA" -m fast -w stop
    # The server's environment is no place for it.
    unset PGPASSWORD POSTGRES_PASSWORD
}

if [ "${1:0:1}" = - ]; then
    set -- postgres "$@"
fi

if [ "$1" = postgres ] && ! is_question "$@"; then
    own_directories
    if [ "$(id -u)" = 0 ]; then
        exec setpriv --reuid=postgres --regid=postgres --init-groups -- "$0" "$@"
    fi
    if [ -s "$PGDATA/PG_VERSION" ] && [ ! -e "$PGDATA/.init-done" ]; then
        echo "docker-entrypoint: $PGDATA holds a cluster; starting it"
    else
        first_start "$@"
    fi
fi

exec "$@"
