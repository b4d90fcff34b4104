#!/bin/sh
# Has a certificate for each name of a list, and renews it when a third of its time is left. SIGHUP: the list is another one.
# Its log says of each name that got none: certificate of NAME: the authority's words.
set -u
umask 077
: "${ACME_SERVER:?}" "${ACME_EMAIL:?}"
names=${ACME_NAMES:-/etc/lego/names} data=${ACME_DATA:-/data} live=${ACME_LIVE:-/live} challenges=${ACME_CHALLENGES:-/challenges}
# Seconds between two looks, and after the first failure; each further one doubles them.
every=${ACME_EVERY:-3600} again=${ACME_AGAIN:-300}
# Each authority has what is its own, so that going back to one asks for nothing.
state=$data/$(printf %s "$ACME_SERVER" | tr -c 'A-Za-z0-9.-' _)
child='' failures=0

say() { printf '%s %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$*"; }

# A signal ends `wait`, but not the process that is waited for.
finished() {
    while :; do
        wait "$child"
        status=$?
        kill -0 "$child" 2>/dev/null || return "$status"
    done
}

asked() { # NAME COMMAND...
    command="$2 ${3:-} ${4:-} ${5:-}"
    set -- --path "$state" --server "$ACME_SERVER" --email "$ACME_EMAIL" --accept-tos --domains "$1"
    if [ -n "${ACME_DNS:-}" ]; then set -- "$@" --dns "$ACME_DNS"; else set -- "$@" --http --http.webroot "$challenges"; fi
    if [ -n "${ACME_EAB_ID:-}" ]; then
        key=$(cat "${ACME_EAB_FILE:-/run/secrets/acme_eab}")
        set -- "$@" --eab --kid "$ACME_EAB_ID"
        # An argument is for every user of the host to see, but an older lego takes it in no other way.
        if lego --help 2>&1 | grep -q LEGO_EAB_HMAC; then export LEGO_EAB_HMAC="$key"; else set -- "$@" --hmac "$key"; fi
    fi
    # shellcheck disable=SC2086 # words
    lego "$@" ${ACME_OPTIONS:-} $command >"$state/said" 2>&1 &
    child=$!
    finished
}

ends() { # NAME: the moment when its certificate ends
    lego --path "$state" list 2>/dev/null | awk -v name="$1" '$1 == "Certificate" && $2 == "Name:" { at = $3 } $1 == "Expiry" && at == name { print $3, $4 }'
}

# The last line with a time, and those that belong to it, as one line without it.
last_said() { tail -n 20 "$state/said" | awk '/^20[0-9][0-9]\/[0-9\/]+ / { text = ""; $1 = $2 = "" } { text = text " " $0 } END { print text }' | tr -s '\n\t ' ' '; }

looked_after() { # NAME
    certificate=$state/certificates/$1.crt now=$(date +%s)
    if [ ! -s "$certificate" ]; then
        asked "$1" run
    elif [ "$now" -ge "$(cat "$certificate.due" 2>/dev/null || echo 0)" ]; then
        asked "$1" renew --days 36500 --no-random-sleep
    else
        return 0
    fi || {
        say "certificate of $1: $(last_said)"
        return 1
    }
    end=$(date -u -d "$(ends "$1")" +%s) || return 1
    echo "$((now + (end - now) * 2 / 3))" >"$certificate.due"
    say "$1 has a certificate until $(ends "$1") UTC"
}

# Certificate and key are one file, so that nobody reads one without the other.
published() { # NAME
    [ -s "$state/certificates/$1.crt" ] || return 0
    cat "$state/certificates/$1.crt" "$state/certificates/$1.key" >"$live/.new"
    if cmp -s "$live/.new" "$live/$1.pem"; then rm "$live/.new"; else mv "$live/.new" "$live/$1.pem"; fi
}

trap 'kill "$child" 2>/dev/null; exit 0' TERM INT
# The list may become another one while it is worked on.
trap 'woken=1 failures=0' HUP
while :; do
    touch "${TMPDIR:-/tmp}/alive"
    mkdir -p "$state"
    missed=0 woken=0
    while read -r name <&3; do
        looked_after "$name" || missed=1
        published "$name"
    done 3<"$names"
    for file in "$live"/*.pem; do
        name=${file##*/}
        grep -qxF "${name%.pem}" "$names" || rm -f "$file"
    done
    pause=$every
    if [ $missed = 1 ]; then
        [ $((again << failures)) -ge "$every" ] || pause=$((again << failures)) failures=$((failures + 1))
    else
        failures=0
    fi
    wake=$(($(date +%s) + pause))
    # In short slices: a signal just before a sleep does not end it.
    while [ "$woken" = 0 ] && [ "$(date +%s)" -lt "$wake" ]; do
        sleep $((pause < 5 ? pause : 5)) &
        child=$!
        wait "$child"
        kill "$child" 2>/dev/null
    done
done
