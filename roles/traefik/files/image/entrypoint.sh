#!/bin/sh
# As in the image traefik: options alone are those of traefik.
set -e
case ${1:-} in -*) set -- traefik "$@" ;; esac
exec "$@"
