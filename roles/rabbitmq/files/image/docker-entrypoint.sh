#!/bin/sh
# Steps down from root, refuses settings that the server would silently ignore, then becomes the server.
set -eu

case ${1:-} in
    rabbitmq*)
        if [ "$(id -u)" = 0 ]; then
            if [ "$1" = rabbitmq-server ]; then
                find /var/lib/rabbitmq \! -user rabbitmq -exec chown rabbitmq '{}' +
            fi
            exec setpriv --reuid=rabbitmq --regid=rabbitmq --clear-groups -- "$0" "$@"
        fi
        ;;
esac

refused=
for name in \
    RABBITMQ_DEFAULT_PASS_FILE RABBITMQ_DEFAULT_USER_FILE RABBITMQ_MANAGEMENT_SSL_CACERTFILE RABBITMQ_MANAGEMENT_SSL_CERTFILE \
    RABBITMQ_MANAGEMENT_SSL_DEPTH RABBITMQ_MANAGEMENT_SSL_FAIL_IF_NO_PEER_CERT RABBITMQ_MANAGEMENT_SSL_KEYFILE \
    RABBITMQ_MANAGEMENT_SSL_VERIFY RABBITMQ_SSL_CACERTFILE RABBITMQ_SSL_CERTFILE RABBITMQ_SSL_DEPTH \
    RABBITMQ_SSL_FAIL_IF_NO_PEER_CERT RABBITMQ_SSL_KEYFILE RABBITMQ_SSL_VERIFY RABBITMQ_VM_MEMORY_HIGH_WATERMARK; do
    if printenv "$name" >/dev/null; then
        refused="$refused $name"
    fi
done
if [ -n "$refused" ]; then
    echo "docker-entrypoint: not supported, use a file in /etc/rabbitmq/conf.d instead:$refused" >&2
    exit 1
fi

# A host name with a domain needs long Erlang names.
if [ "$(hostname)" != "$(hostname -s)" ]; then
    export RABBITMQ_USE_LONGNAME="${RABBITMQ_USE_LONGNAME:-true}"
fi

cookie=/var/lib/rabbitmq/.erlang.cookie
if [ "${1:-}" = rabbitmq-server ] && [ -n "${RABBITMQ_ERLANG_COOKIE:-}" ] && [ ! -e "$cookie" ]; then
    umask 077
    printf '%s' "$RABBITMQ_ERLANG_COOKIE" > "$cookie"
fi

exec "$@"
