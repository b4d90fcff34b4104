#!/bin/sh
# Traefik watches one directory. This puts together there what is to be in force, and again when it changes:
# the routes, for each application under maintenance what leads to its page, and the certificates that lego has.
# once: and no more. healthy: whether it goes on, and the routes are in force. wait: until they are; fails after 20 seconds, with what Traefik says of them.
set -u
from=${EDGE_CONFIG:-/etc/edge} to=${EDGE_WATCHED:-/edge} pages=${EDGE_PAGES:-/srv/maintenance} live=${EDGE_LIVE:-/srv/certificates}
api=http://${EDGE_API:-127.0.0.1:8404}/api/http

is() { # FILE, which is to have what comes in
    cat >"$to/.new"
    if cmp -s "$to/.new" "$1"; then rm "$to/.new"; else mv "$to/.new" "$1"; fi
}

certificates() {
    echo 'tls: {certificates: ['
    for file in "$live"/*.pem; do
        [ -s "$file" ] && echo "{certFile: $file, keyFile: $file}, # $(cksum <"$file")"
    done
    echo ']}'
}

pass() {
    is "$to/edge.yml" <"$from/dynamic/edge.yml"
    for file in "$from"/maintenance/*.yml; do
        name=${file##*/}
        if [ -f "$pages/${name%.yml}.html" ]; then is "$to/closed-$name" <"$file"; else rm -f "$to/closed-$name"; fi
    done
    for file in "$to"/closed-*.yml; do
        [ -f "$from/maintenance/${file##*/closed-}" ] || rm -f "$file"
    done
    [ ! -d "$live" ] || certificates | is "$to/certificates.yml"
    touch "$to/.alive"
}

asked() { wget -q -O - "$api/$1" 2>/dev/null || curl -fsS "$api/$1" 2>/dev/null; }

in_force() { asked middlewares | grep -q "$(grep -o 'edge-[0-9a-f]\{16\}' "$from/dynamic/edge.yml")@file"; }

case ${1:-} in
    once) pass ;;
    healthy) [ $(($(date +%s) - $(stat -c %Y "$to/.alive"))) -lt 60 ] && in_force ;;
    wait)
        for _ in $(seq 100); do
            if in_force; then
                wrong=$(asked 'routers?status=disabled')
                [ "${wrong:-[]}" = '[]' ] && exit 0
                echo "Traefik refuses a route: $wrong" >&2
                exit 1
            fi
            sleep 0.2
        done
        echo "Traefik has not taken the routes within 20 seconds; its log says why" >&2
        exit 1
        ;;
    *) while :; do pass; sleep 1; done ;;
esac
