# shellcheck shell=bash
# What the scripts of this folder share; sourced, never run.
# shellcheck disable=SC2034 # the variables are read by those scripts
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=$(cd "$here/../.." && pwd)/.cache/test-hosts
image=longshore-testhost
label=longshore.testhost
network=${LONGSHORE_TEST_NETWORK:-longshore-test}
subnet=${LONGSHORE_TEST_SUBNET:-10.89}     # the first two numbers of a /16 that the machine does not use
# A second network, with IPv6 too, for the hosts that ask for it: on the first a test of IPv6 would pass for nothing.
dual_network=$network-dual
dual_subnet=${LONGSHORE_TEST_DUAL_SUBNET:-10.90}
dual_prefix=${LONGSHORE_TEST_DUAL_PREFIX:-fd89:10ca:1:0}    # the first four numbers of a /64 that the machine does not use
seed=longshore-seed
suites=(trixie bookworm)

fail() { echo "${0##*/}: $*" >&2; exit 1; }
say() { echo "$*" >&2; }

# Scenarios may start at the same time: what they share (hosts, seed) is made by one of them, the others wait. Use it in
# a subshell, whose end is the end of the lock.
locked() {
    exec 9> "${TMPDIR:-/tmp}/longshore-test-$1.$(id -u).lock"
    flock 9
}

is_suite() { [[ " ${suites[*]} " == *" $1 "* ]] || fail "'$1' is no suite: one of ${suites[*]}"; }

# Runs a shell in a container that sees all volumes of the engine as one file system, so that hard links work between
# them. SYS_ADMIN: without it cp drops trusted.overlay.opaque, and files that a layer deleted come back.
in_volumes() {
    docker run --rm --cap-add SYS_ADMIN --network none \
        -v "$(docker info -f '{{.DockerRootDir}}')/volumes:/volumes" "$image:${suites[0]}" sh -ec "$@"
}

# Removes a container only if it is a test host: the name comes from a user.
remove_host() {
    local mark
    mark=$(docker inspect --type container -f "{{index .Config.Labels \"$label\"}}" "$1" 2>/dev/null) || return 0
    [ -n "$mark" ] || fail "the container '$1' is not a test host: left alone"
    docker rm -fv "$1" >/dev/null
}

wait_until_booted() {
    local deadline=$((SECONDS + 60)) state=''
    while [ $SECONDS -lt $deadline ]; do
        # Ready: all units were started, or, without systemd, the script of PID 1 has come to its end.
        state=$(docker exec "$1" sh -c 'if [ -d /run/systemd/system ]; then systemctl is-system-running
            elif pidof -q sshd && pgrep -fx "sleep infinity" >/dev/null; then echo running; fi' 2>&1) || true
        [[ $state =~ ^(running|degraded)$ ]] && return
        sleep 0.1
    done
    docker logs --tail 20 "$1" >&2 || true
    docker exec "$1" systemctl --no-pager list-jobs >&2 || true
    fail "'$1' did not boot in 60 s (state: $state)"
}
