#!/bin/bash
# Installs the packages of iso/packages.list that this machine lacks; run by `make setup`. Starts no service.
set -euo pipefail
list=$(dirname "$(readlink -f "$0")")/packages.list
mapfile -t wanted < <(sed 's/#.*//; s/[[:space:]]*$//; /^$/d' "$list")

if ! command -v dpkg-query >/dev/null; then
  missing=()
  for program in libvirtd virsh qemu-system-x86_64 qemu-img nft ip nsenter; do
    command -v "$program" >/dev/null || [ -x "/usr/sbin/$program" ] || missing+=("$program")
  done
  [ ${#missing[@]} -gt 0 ] || exit 0
  echo "setup: this is no Debian or Ubuntu. Install what provides: ${missing[*]}" >&2
  echo "setup: (Debian's names of all packages: ${wanted[*]})" >&2
  exit 1
fi

lacking() {
  local package
  for package in "${wanted[@]}"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)" = installed ] || echo "$package"
  done
}
mapfile -t missing < <(lacking)
[ ${#missing[@]} -gt 0 ] || exit 0
if [ "$(id -u)" -ne 0 ]; then
  echo "setup: these packages are missing; run 'make setup' as root, or: apt-get install --no-install-recommends ${missing[*]}" >&2
  exit 1
fi

# Installing libvirt or etcd must not start a daemon on this machine; a policy that somebody made already stays.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
echo "setup: installing ${missing[*]}" >&2
apt-get -q -y update
apt-get -q -y -o Dpkg::Options::=--force-confold install --no-install-recommends "${missing[@]}"
mapfile -t missing < <(lacking)
[ ${#missing[@]} -eq 0 ] || { echo "setup: still missing: ${missing[*]}" >&2; exit 1; }
