#!/bin/sh
# PID 1 of a test host until systemd takes over: undoes what keeps an ordinary container from being a machine.
# With the argument `sysv` systemd does not take over, and services are SysV scripts: a host as in some sandboxes and containers.
set -e

# The paths of /proc that an engine masks or makes read-only; deepest first.
awk '$2 ~ "^/proc/" {print $2}' /proc/self/mounts | sort -r | while read -r masked; do
    umount "$masked" || true
done

if [ "$(stat -fc %T /sys/fs/cgroup)" = cgroup2fs ]; then
    mount -o remount,rw /sys/fs/cgroup
else
    # Version 1: the hierarchies that the kernel has, mounted again from inside our own cgroup namespace, writable.
    umount -R /sys/fs/cgroup
    mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
    while IFS=: read -r _ controllers _; do
        case $controllers in
            '') mkdir -p /sys/fs/cgroup/unified
                mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified ;;
            name=*) mkdir -p "/sys/fs/cgroup/${controllers#name=}"
                mount -t cgroup -o "none,$controllers" cgroup "/sys/fs/cgroup/${controllers#name=}" ;;
            *)  mkdir -p "/sys/fs/cgroup/$controllers"
                mount -t cgroup -o "$controllers" cgroup "/sys/fs/cgroup/$controllers"
                # Controllers that share a hierarchy are also looked for by their single names.
                for one in $(echo "$controllers" | tr , ' '); do
                    [ -e "/sys/fs/cgroup/$one" ] || ln -s "$controllers" "/sys/fs/cgroup/$one"
                done ;;
        esac
    done < /proc/self/cgroup
    if [ ! -d /sys/fs/cgroup/systemd ]; then
        mkdir -p /sys/fs/cgroup/systemd
        mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
    fi
fi
[ "$1" = sysv ] || exec /sbin/init
# As at a boot: what is enabled starts, and nothing else.
for script in /etc/rc2.d/S*; do
    "$script" start || true
done
exec sleep infinity
