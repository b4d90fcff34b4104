#!/bin/sh
# The applications' buckets; runs in the container. Prints one line "changed: ..." for each change; --check only says what it would do.
set -eu

check=${1:-}
here=$(dirname "$0")

# Does what it is told in the shell of SeaweedFS, which waits without end for a master that does not answer.
weed_shell() {
    echo "$1" | timeout 20 weed shell -master=127.0.0.1:9333 || {
        status=$?
        [ "$status" -ne 124 ] || echo "the master did not answer within 20 s" >&2
        echo "weed shell: $1: exit status $status" >&2
        return "$status"
    }
}

there=$(weed_shell s3.bucket.list)
there=$(echo "$there" | awk '{print $1}')
while read -r bucket; do
    [ -n "$bucket" ] || continue
    if ! echo "$there" | grep -qxF "$bucket"; then
        [ "$check" = --check ] || weed_shell "s3.bucket.create -name $bucket" >/dev/null
        echo "changed: bucket $bucket"
    fi
done < "$here/buckets"
