#!/bin/sh
# Makes the Debian image that every recipe starts from, with the mirror that the host's own tools use.
# usage: build.sh TAG
set -eu

tag=$1
suite=trixie
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

if ! command -v mmdebstrap >/dev/null; then
    echo "installing mmdebstrap on the host"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # The keyring matters on hosts that are not Debian, or an older Debian.
    apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 mmdebstrap debian-archive-keyring
fi

# The host's proxy, for this call only: as an apt option it would stay in the image.
eval "$(apt-config shell http_proxy Acquire::http::Proxy https_proxy Acquire::https::Proxy)"
[ -z "${http_proxy:-}" ] || export http_proxy
[ -z "${https_proxy:-}" ] || export https_proxy

# What packages leave behind does not belong in a layer. Given to mmdebstrap itself, this
# would take away the packages that it works with.
cat > "$root/apt.conf" <<'END'
APT::Install-Recommends "false";
Acquire::Languages "none";
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin || true"; };
APT::Update::Post-Invoke { "rm -f /var/cache/apt/*.bin || true"; };
END

# shellcheck disable=SC2016  # mmdebstrap expands it
mmdebstrap --variant=minbase --include=ca-certificates,tzdata \
    --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/info/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --customize-hook='rm -rf "$1"/var/cache/debconf/*-old "$1"/var/log/*.log "$1"/var/log/apt' \
    --customize-hook="upload $root/apt.conf /etc/apt/apt.conf.d/90image" \
    "$suite" "$root/root.tar"

docker import \
    --change 'CMD ["bash"]' \
    --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
    "$root/root.tar" "$tag"
