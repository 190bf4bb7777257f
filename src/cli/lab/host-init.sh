#!/bin/bash
# First process of a lab host: makes the mount namespace look like a machine of its own, then keeps libvirtd and the daemon running.
# Runs in fresh network, mount and UTS namespaces. Arguments: HOST_DIRECTORY HOSTNAME COMMAND...; standard output is the host's log.
set -eu
host=$1 name=$2
shift 2

# Whatever the caller had open (a pipe somebody reads to its end, a lock) is not this host's to hold.
for fd in /proc/self/fd/*; do
  fd=${fd##*/}
  [ "$fd" -le 2 ] || [ "$fd" -ge 255 ] || eval "exec $fd>&-"
done

mount --make-rprivate /
# The names of the other hosts' network namespaces: a copy kept here would keep those alive after their power was cut.
umount -l /run/netns 2>/dev/null || true
hostname "$name"
mount --bind "$host/run" /run
mkdir -p /run/lock /run/libvirt
mount --bind "$host/var" /var/lib/libvirt
mount --bind "$host/log" /var/log/libvirt
mount --bind "$host/cache" /var/cache/libvirt
mount --bind "$host/etc" /etc/libvirt
mount --bind "$host/hosts" /etc/hosts

# A /dev without kvm: libvirt then never tries it. Binding /dev/null over kvm would make it probe QEMU anew at each start.
mkdir -p /run/pts
mount --bind /dev/pts /run/pts
mount -t tmpfs -o mode=755,size=1m dev /dev
mkdir /dev/pts /dev/shm /dev/net
mount --move /run/pts /dev/pts
rmdir /run/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
ln -s pts/ptmx /dev/ptmx
ln -s /proc/self/fd /dev/fd
ln -s /proc/self/fd/0 /dev/stdin
ln -s /proc/self/fd/1 /dev/stdout
ln -s /proc/self/fd/2 /dev/stderr
mknod -m 666 /dev/null c 1 3
mknod -m 666 /dev/zero c 1 5
mknod -m 666 /dev/full c 1 7
mknod -m 666 /dev/random c 1 8
mknod -m 666 /dev/urandom c 1 9
mknod -m 666 /dev/tty c 5 0
mknod -m 600 /dev/net/tun c 10 200

# keep NAME COMMAND...: restarts the command a second after it ended, as the systemd units do; its process id is in /run.
keep() {
  local name=$1
  shift
  while :; do
    "$@" </dev/null >>"$host/log/$name.log" 2>&1 &
    echo $! >"/run/$name.pid.new"
    mv "/run/$name.pid.new" "/run/$name.pid"
    wait $!
    local code=$?
    [ $code -eq 0 ] || echo "$(date -u +%FT%TZ) $name ended with $code"
    sleep 1
  done
}

echo $$ >/run/host.pid
set +e
keep libvirtd /usr/sbin/libvirtd --pid-file /run/libvirtd.own.pid &
keep novacron "$@" &
wait
