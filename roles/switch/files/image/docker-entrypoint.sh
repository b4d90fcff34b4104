#!/bin/sh
# Options alone mean the server; the server runs in the foreground, with a master process that can reload it.
set -eu

case ${1:-} in
    -*) set -- haproxy "$@" ;;
esac
if [ "${1:-}" = haproxy ]; then
    shift
    set -- haproxy -W -db "$@"
fi
exec "$@"
