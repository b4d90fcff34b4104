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
trap 'exit 143' TERM
export MC_CONFIG_DIR="$work" MC_QUIET=1

# Passwords reach the client by its standard input, not by arguments that a list of processes shows.
log_in() {
    printf '%s\n%s\n' "$2" "$(cat "$secrets/$3")" | "$client" alias set "$1" http://127.0.0.1:9000 >"$work/said" 2>&1
}

if ! log_in stack admin s3_admin; then
    echo "the administrator cannot log in:" >&2
    cat "$work/said" >&2
    exit 1
fi

# Makes the change that the first word names, with the command after it, unless it is only to be said.
change() {
    what=$1
    shift
    [ "$check" = --check ] || "$@" >/dev/null
    echo "changed: $what"
}

add_user() {
    printf '%s\n%s\n' "$1" "$(cat "$secrets/$2")" | "$client" admin user add stack
}

policies_of() {
    "$client" --json admin user info stack "$1" 2>/dev/null | tr -d ' \n' | sed -n 's/.*"policyName":"\([^"]*\)".*/\1/p' | tr , '\n'
}

while read -r name secret bucket; do
    [ -n "$name" ] || continue
    if ! "$client" stat "stack/$bucket" >/dev/null 2>&1; then
        change "bucket $bucket" "$client" mb --ignore-existing "stack/$bucket"
    fi
    cat > "$work/policy.json" <<JSON
{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["s3:*"], "Resource": ["arn:aws:s3:::$bucket", "arn:aws:s3:::$bucket/*"]}]}
JSON
    if ! "$client" admin policy info stack "app-$name" 2>/dev/null | tr -d ' \n' | grep -qF "\"arn:aws:s3:::$bucket/*\""; then
        change "policy app-$name" "$client" admin policy create stack "app-$name" "$work/policy.json"
    fi
    # Logging in asks the server, so it fails for a user that is not there and for another password.
    if ! log_in app "$name" "$secret"; then
        change "keys of $name" add_user "$name" "$secret"
    fi
    # A user without a policy can log in as well, so what it may do is looked at by itself.
    if ! policies_of "$name" | grep -qxF "app-$name"; then
        change "rights of $name" "$client" admin policy attach stack "app-$name" --user "$name"
    fi
done < "$here/applications"
