#!/bin/bash
# Builds the image `tiny`: a BIOS-bootable disk of a Debian cloud kernel and a busybox, for tests and first steps.
#
#   iso/tiny/build.sh OUTPUT.qcow2
#
# Needs no root and no mounts: the boot partition is FAT written by mtools and made bootable by syslinux (the same family as
# extlinux, which would need a mounted file system), the data partition is written by mke2fs. Packages come from apt-get
# download and are kept beside the output, so a second build is quick.
set -euo pipefail
output=$(realpath -m "${1:?usage: build.sh OUTPUT.qcow2}")
recipe=$(dirname "$(readlink -f "$0")")
cache=$(dirname "$output")/tiny.cache
export SOURCE_DATE_EPOCH=1735689600 LC_ALL=C MTOOLS_SKIP_CHECK=1
bootMiB=40 dataMiB=16
mkdir -p "$cache"
work=$(mktemp -d "$cache/work.XXXXXX")
trap 'rm -rf "$work"' EXIT

for tool in apt-get dpkg-deb qemu-img mke2fs mformat mcopy cpio xz; do
  command -v "$tool" >/dev/null || { echo "build.sh: $tool is missing; 'make setup' installs it" >&2; exit 1; }
done

fetch() { # fetch PACKAGE -> directory with the unpacked package
  local package=$1 into=$cache/$1
  if [ ! -e "$into/.done" ]; then
    rm -rf "$into" "$work/deb"; mkdir -p "$into" "$work/deb"
    # apt drops to the user _apt for downloads, who may not enter this directory.
    (cd "$work/deb" && apt-get -q -o APT::Sandbox::User=root download "$package" >&2)
    dpkg-deb -x "$work"/deb/*.deb "$into"
    touch "$into/.done"
  fi
  echo "$into"
}

packageOf() { apt-cache depends --no-recommends linux-image-cloud-amd64 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-.*\)/\1/p' | head -1; }
# Without package lists there is no kernel to name; a machine that keeps its lists is not asked to refresh them.
[ -n "$(packageOf)" ] || apt-get -q update >&2
kernelPackage=$(packageOf)
[ -n "$kernelPackage" ] || { echo "build.sh: apt knows no linux-image-cloud-amd64; build on Debian 12 or newer" >&2; exit 1; }
kernel=$(fetch "$kernelPackage")
busybox=$(fetch busybox-static)
syslinux=$(fetch syslinux)
loader=$(fetch syslinux-common)

# --- initramfs -------------------------------------------------------------------------------------------------------
root=$work/root
mkdir -p "$root"/{bin,dev,etc,proc,sys,tmp,data,modules,run}
for binary in "$busybox/bin/busybox" "$busybox/usr/bin/busybox"; do
  [ ! -f "$binary" ] || install -m 755 "$binary" "$root/bin/busybox"
done
install -m 755 "$recipe/init" "$root/init"
install -m 755 "$recipe/guest-agent" "$recipe/dhcp-lease" "$recipe/console" "$root/bin/"

number=0
addModule() { # copies a module after those it depends on; the number keeps the order for insmod
  local name=$1 file dependency
  [ ! -e "$work/have.$name" ] || return 0
  file=$(find "$kernel/lib/modules" -name "$name.ko" -o -name "${name//_/-}.ko" | head -1)
  [ -n "$file" ] || { echo "build.sh: the kernel has no module $name" >&2; exit 1; }
  touch "$work/have.$name"
  for dependency in $(tr '\0' '\n' <"$file" | sed -n 's/^depends=//p' | tr ',' ' '); do addModule "${dependency//-/_}"; done
  number=$((number + 1))
  cp "$file" "$root/modules/$(printf '%02d' "$number")-$name.ko"
}
for module in virtio_pci virtio_blk virtio_net virtio_console virtio_balloon virtio_rng button evdev; do addModule "$module"; done

find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
(cd "$root" && find . -print0 | sort -z | cpio --quiet -0 -o -H newc --reproducible -R 0:0) | gzip -n -6 >"$work/initrd.gz"

# --- boot partition: FAT with syslinux -------------------------------------------------------------------------------
cp "$kernel"/boot/vmlinuz-* "$work/vmlinuz"
cat >"$work/syslinux.cfg" <<'CFG'
DEFAULT tiny
PROMPT 0
TIMEOUT 0
LABEL tiny
  KERNEL vmlinuz
  INITRD initrd.gz
  APPEND console=ttyS0 quiet panic=-1 tsc=unstable swiotlb=noforce mitigations=off
CFG
touch -d "@$SOURCE_DATE_EPOCH" "$work"/{vmlinuz,initrd.gz,syslinux.cfg}
truncate -s "${bootMiB}M" "$work/boot.img"
mformat -i "$work/boot.img" -F -N 4e435459 -v TINY -h 64 -s 32 -T $((bootMiB * 2048)) -H 2048 ::
mcopy -m -i "$work/boot.img" "$work/vmlinuz" "$work/initrd.gz" "$work/syslinux.cfg" ::
"$syslinux/usr/bin/syslinux" --install "$work/boot.img"

# --- data partition: survives restarts, so that tests can see whether a disk was kept -----------------------------------
truncate -s "${dataMiB}M" "$work/data.img"
mke2fs -q -t ext4 -L data -m 0 -U 6e6f7661-6372-4f6e-8000-74696e790001 -E hash_seed=6e6f7661-6372-4f6e-8000-74696e790002,root_owner=0:0 "$work/data.img"

# --- disk: MBR, boot partition at 1 MiB, data behind it ----------------------------------------------------------------
le32() { printf '%08x' "$1" | sed 's/\(..\)\(..\)\(..\)\(..\)/\\x\4\\x\3\\x\2\\x\1/'; }
entry() { printf '%b' "\\x$1\\xfe\\xff\\xff\\x$2\\xfe\\xff\\xff$(le32 "$3")$(le32 "$4")"; } # active, type, first sector, sectors
disk=$work/disk.img
truncate -s $(((1 + bootMiB + dataMiB) * 1048576)) "$disk"
dd status=none conv=notrunc bs=440 count=1 if="$loader/usr/lib/syslinux/mbr/mbr.bin" of="$disk"
{ entry 80 0c 2048 $((bootMiB * 2048)); entry 00 83 $((2048 + bootMiB * 2048)) $((dataMiB * 2048)); } |
  dd status=none conv=notrunc bs=1 seek=446 of="$disk"
printf '\x55\xaa' | dd status=none conv=notrunc bs=1 seek=510 of="$disk"
dd status=none conv=notrunc,sparse bs=1M seek=1 if="$work/boot.img" of="$disk"
dd status=none conv=notrunc,sparse bs=1M seek=$((1 + bootMiB)) if="$work/data.img" of="$disk"

qemu-img convert -q -f raw -O qcow2 "$disk" "$work/tiny.qcow2"
mv "$work/tiny.qcow2" "$output"
echo "built $output ($(du -h --apparent-size "$output" | cut -f1))" >&2
