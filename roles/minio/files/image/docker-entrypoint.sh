#!/bin/sh
# Refuses secrets that are not there, then becomes the server.
set -eu

if [ -n "${1:-}" ] && [ "$1" != minio ]; then
    set -- minio "$@"
fi

# The server would take a missing file for no answer, and start with the password that everybody knows.
for name in MINIO_ROOT_USER MINIO_ROOT_PASSWORD; do
    file=$(printenv "${name}_FILE" || true)
    case $file in
        */*)
            if [ ! -r "$file" ] && [ ! -r "/run/secrets/$file" ]; then
                echo "docker-entrypoint: ${name}_FILE: $file is missing or not readable for uid $(id -u)" >&2
                exit 1
            fi
            ;;
    esac
done

exec "$@"
