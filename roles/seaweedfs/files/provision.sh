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

listed=
while read -r bucket; do
    # The filer answers at once for a bucket that is there; only where it does not, the shell of SeaweedFS is asked, once, which takes a second.
    if [ -z "$bucket" ] || wget -q -O /dev/null "http://127.0.0.1:8888/buckets/$bucket/?limit=1"; then
        continue
    fi
    if [ -z "$listed" ]; then
        there=$(weed_shell s3.bucket.list)
        there=$(echo "$there" | awk '{print $1}')
        listed=yes
    fi
    if ! echo "$there" | grep -qxF "$bucket"; then
        [ "$check" = --check ] || weed_shell "s3.bucket.create -name $bucket" >/dev/null
        echo "changed: bucket $bucket"
    fi
done < "$here/buckets"
