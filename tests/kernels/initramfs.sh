#!/bin/sh
# First process of the guest: puts a writable overlay on the host's root file system and goes there.
# Nothing that a test writes can reach the host: it lands in memory.
B=/bin/busybox

die() {
	echo "guest: $1"
	$B poweroff -f
}

$B mount -t proc proc /proc
$B mount -t sysfs sys /sys
$B mount -t devtmpfs dev /dev 2>/dev/null # the kernel may have done it
for module in /modules/*; do
	$B insmod "$module" || die "insmod $module failed"
done
# loose: nobody changes the host's files under us, and a read over 9p costs a round trip.
$B mount -t 9p -o trans=virtio,version=9p2000.L,ro,msize=512000,cache=loose root /lower ||
	die "the host's root file system cannot be mounted"
$B mount -t tmpfs -o size=75% tmpfs /upper
$B mkdir /upper/data /upper/work
$B mount -t overlay -o lowerdir=/lower,upperdir=/upper/data,workdir=/upper/work overlay /new ||
	die "no overlay"
for name in dev proc sys; do
	$B mount --move /$name /new/$name
done
# The words after `dlp.` on the kernel's command line say which script goes on.
for word in $($B cat /new/proc/cmdline); do
	case $word in dlp.init=*) init=${word#dlp.init=} ;; esac
done
exec $B switch_root /new /bin/bash "$init"
