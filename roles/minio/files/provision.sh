#!/bin/sh
# The applications' buckets, keys and policies; runs in the container. Prints one line "changed: ..." for each change;
# --check only says what it would do.
set -eu

check=${1:-}
secrets=/run/secrets
here=$(dirname "$0")
client=$(command -v mc || command -v mcli)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export MC_CONFIG_DIR="$work" MC_QUIET=1

# Passwords reach the client by its standard input, not by arguments that a list of processes shows.
log_in() {
    printf '%s\n%s\n' "$2" "$(cat "$secrets/$3")" | "$client" alias set "$1" http://127.0.0.1:9000 >/dev/null 2>&1
}

log_in stack admin s3_admin

changed() {
    echo "changed: $1"
    [ "$check" != --check ]
}

policies_of() {
    "$client" --json admin user info stack "$1" 2>/dev/null | tr -d ' \n' | sed -n 's/.*"policyName":"\([^"]*\)".*/\1/p' | tr , '\n'
}

while read -r name secret bucket; do
    [ -n "$name" ] || continue
    if ! "$client" stat "stack/$bucket" >/dev/null 2>&1 && changed "bucket $bucket"; then
        "$client" mb --ignore-existing "stack/$bucket" >/dev/null
    fi
    cat > "$work/policy.json" <<JSON
{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["s3:*"], "Resource": ["arn:aws:s3:::$bucket", "arn:aws:s3:::$bucket/*"]}]}
JSON
    if ! "$client" admin policy info stack "app-$name" 2>/dev/null | tr -d ' \n' | grep -qF "\"arn:aws:s3:::$bucket/*\"" && changed "policy app-$name"; then
        "$client" admin policy create stack "app-$name" "$work/policy.json" >/dev/null
    fi
    # Logging in asks the server, so it fails for a user that is not there and for another password.
    if ! log_in app "$name" "$secret" && changed "keys of $name"; then
        printf '%s\n%s\n' "$name" "$(cat "$secrets/$secret")" | "$client" admin user add stack >/dev/null
    fi
    # A user without a policy can log in as well, so what it may do is looked at by itself.
    if ! policies_of "$name" | grep -qxF "app-$name" && changed "rights of $name"; then
        "$client" admin policy attach stack "app-$name" --user "$name" >/dev/null
    fi
done < "$here/applications"
