#!/bin/bash
# Second part of the guest's start, on the host's root file system: mounts what tests need, runs
# the command that the host left in /run/host, leaves its status there, powers off.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export HOME=/root TERM=dumb LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1

for word in $(</proc/cmdline); do
	case $word in dlp.modules=*) modules=${word#dlp.modules=} ;; esac
done

mount -t tmpfs tmpfs /run
mkdir -p /run/netns /run/lock /run/host /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t bpf bpf /sys/fs/bpf
mount -t debugfs debugfs /sys/kernel/debug
mount -t tracefs tracefs /sys/kernel/tracing
mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000 out /run/host || echo "guest: no way back"

# File by file: the host may have headers of this very release there, which must stay visible.
mkdir -p "/lib/modules/$(uname -r)"
ln -sfn "$modules"/* "/lib/modules/$(uname -r)/"

ip link set lo up
# What a bare machine has and a host may not: the first device of its kind loads the module.
modprobe -a 8021q veth sch_ingress cls_bpf

# The console keeps the kernel's messages, the second line carries the command's output.
exec </dev/null >/dev/ttyS1 2>&1
stty -F /dev/ttyS1 raw -echo
echo "booted in $(cut -d' ' -f1 /proc/uptime) s: $(uname -r), $(nproc) CPUs"
# Through a pipe: on a terminal pytest redraws its progress, which fills a log.
setsid bash /run/host/command 2>&1 | cat
echo "${PIPESTATUS[0]}" >/run/host/status
sync
busybox poweroff -f
