#!/bin/sh
# Adds the options of a container to a weed command, steps down from root, then becomes it.
set -eu

# given -OPTION ARGUMENTS...: true if the option is among the arguments.
given() {
    option=$1
    shift
    for argument in "$@"; do
        case $argument in
            "$option" | "$option"=* | "-$option" | "-$option"=*) return 0 ;;
        esac
    done
    return 1
}

if [ "$(id -u)" = 0 ]; then
    case ${1:-} in
        master | volume | server | filer | mini)
            find /data \! -user seaweed -exec chown seaweed:seaweed '{}' +
            exec setpriv --reuid=seaweed --regid=seaweed --init-groups -- "$0" "$@"
            ;;
    esac
fi

command=${1:-}
[ $# -eq 0 ] || shift
case $command in
    master)
        given -volumeSizeLimitMB "$@" || set -- -volumeSizeLimitMB=1024 "$@"
        given -volumePreallocate "$@" || set -- -volumePreallocate "$@"
        given -mdir "$@" || set -- -mdir=/data "$@"
        ;;
    volume)
        given -max "$@" || set -- -max=0 "$@"
        given -dir "$@" || set -- -dir=/data "$@"
        ;;
    server)
        given -master.volumeSizeLimitMB "$@" || set -- -master.volumeSizeLimitMB=1024 "$@"
        given -master.volumePreallocate "$@" || set -- -master.volumePreallocate "$@"
        given -volume.max "$@" || set -- -volume.max=0 "$@"
        given -dir "$@" || set -- -dir=/data "$@"
        ;;
    mini)
        given -dir "$@" || set -- -dir=/data "$@"
        ;;
    s3)
        [ -z "${S3_CERT_FILE:-}" ] || set -- "-cert.file=$S3_CERT_FILE" "$@"
        [ -z "${S3_KEY_FILE:-}" ] || set -- "-key.file=$S3_KEY_FILE" "$@"
        [ -z "${S3_DOMAIN_NAME:-}" ] || set -- "-domainName=$S3_DOMAIN_NAME" "$@"
        ;;
esac
exec /usr/bin/weed ${command:+"$command"} "$@"
