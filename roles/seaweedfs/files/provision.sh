#!/bin/sh
# The applications' buckets; runs in the container. Prints one line "changed: ..." for each change; --check only says what it would do.
set -eu

check=${1:-}
here=$(dirname "$0")

# The shell of SeaweedFS waits without end for a master that does not answer.
weed_shell() {
    timeout 20 weed shell -master=127.0.0.1:9333 2>/dev/null
}

there=$(echo s3.bucket.list | weed_shell | awk '{print $1}')
while read -r bucket; do
    [ -n "$bucket" ] || continue
    if ! echo "$there" | grep -qxF "$bucket"; then
        echo "changed: bucket $bucket"
        [ "$check" = --check ] || echo "s3.bucket.create -name $bucket" | weed_shell >/dev/null
    fi
done < "$here/buckets"
