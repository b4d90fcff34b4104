#!/bin/sh
# Steps down from root, then becomes the server.
set -eu

case ${1:-} in
    -* | *.conf) set -- valkey-server "$@" ;;
esac

if [ "${1:-}" = valkey-server ]; then
    if [ "$(id -u)" = 0 ]; then
        find . \! -user valkey -exec chown valkey '{}' +
        exec setpriv --reuid=valkey --regid=valkey --clear-groups -- "$0" "$@"
    fi
    if [ ! -w . ]; then
        echo "docker-entrypoint: $PWD is not writable for uid $(id -u); data could not be saved" >&2
        exit 1
    fi
    # Dumps hold everything the store knows.
    [ "$(umask)" != 0022 ] || umask 0077

    # Upstream's build listens for other containers without a password; a configuration that says otherwise keeps its word.
    conf=${2:-}
    case $conf in
        "" | -*) conf=/dev/null ;;
    esac
    case " $* " in
        *" --protected-mode "*) ;;
        *) grep -qs '^[[:space:]]*protected-mode' "$conf" || set -- "$@" --protected-mode no ;;
    esac
fi

# shellcheck disable=SC2086  # a list of words
exec "$@" ${VALKEY_EXTRA_FLAGS:-}
