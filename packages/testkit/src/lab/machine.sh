#!/bin/sh
# The first process of one machine of the lab, already in its own network, mount and PID namespace.
# Usage: machine.sh FILES, a folder whose files replace those of the same name in /etc.
# Prints `ready` and then only reaps orphans; when it is killed, the kernel ends every process and namespace of the machine.
set -e
files=$1

# /sys shows the devices of the namespace that mounted it. Control groups stay reachable, as they are on a real machine.
if mountpoint -q /sys/fs/cgroup; then
  mkdir -p "$files/../cgroup"
  mount --rbind /sys/fs/cgroup "$files/../cgroup"
  mount -t sysfs sysfs /sys
  mount --move "$files/../cgroup" /sys/fs/cgroup
else
  mount -t sysfs sysfs /sys
fi
mount -t bpf bpf /sys/fs/bpf

# A /run of its own: sockets, named namespaces and state files of one lab are not seen by another.
mount -t tmpfs -o mode=0755,size=64m tmpfs /run
mkdir -p /run/netns /run/lock /run/sshd

for file in "$files"/*; do
  # Where /etc/resolv.conf is a link into /run, its target is gone now.
  target=$(readlink -m "/etc/${file##*/}")
  mkdir -p "${target%/*}"
  [ -e "$target" ] || : >"$target"
  mount --bind "$file" "$target"
done

ip link set lo up
echo ready
# The loop runs in the shell, not in an exec'd sleep: a shell that waits also reaps processes whose parents have died.
while :; do sleep 3600; done
