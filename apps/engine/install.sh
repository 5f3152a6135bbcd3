#!/bin/sh
# Installs what only the embedded engine needs (node-llama-cpp and this platform's CPU build) into DIR/node_modules.
#   usage: sh apps/engine/install.sh DIR          DIR as a rule is .cache/engine; needs node, npm and tar on the PATH
# Nothing is downloaded or built when the engine runs; nothing but npm packages is fetched here; no install script runs.
# Idempotent: a stamp (digest of lock file, platform table, this file and the platform) says whether DIR is current.
# Atomic: made in a folder beside DIR and renamed, so that a cut install is never seen as a whole one.
# Exit 0: DIR is ready. 1: could not be had (the message says why). 2: wrong usage.
set -eu

[ $# -eq 1 ] || { echo "usage: install.sh DIR" >&2; exit 2; }
engine_source=$(CDPATH='' cd "$(dirname "$0")" && pwd)
platform="$(uname -s)-$(uname -m)"
mkdir -p "$(dirname "$1")"
target=$(CDPATH='' cd "$(dirname "$1")" && pwd)/$(basename "$1")

row=$(grep "^$platform " "$engine_source/platforms.txt" || true)
if [ -z "$row" ]; then
  echo "engine: no prebuilt CPU engine for $platform (have: $(sed -n 's/^\([A-Z][^ ]*\) .*/\1/p' "$engine_source/platforms.txt" | tr '\n' ' '))." >&2
  echo "engine: use another engine on this machine by an attach adapter in the agent's configuration." >&2
  exit 1
fi
# shellcheck disable=SC2086
set -- $row
platform_package=$2 platform_version=$3 platform_digest=$4

stamp=$(node -e '
  const { createHash } = require("node:crypto");
  const { readFileSync } = require("node:fs");
  const hash = createHash("sha256").update(process.argv[1]);
  for (const file of process.argv.slice(2)) hash.update("\0").update(readFileSync(file));
  console.log(hash.digest("hex"));
' "$platform" "$engine_source/package-lock.json" "$engine_source/platforms.txt" "$engine_source/install.sh")
[ "$(cat "$target/stamp" 2>/dev/null || true)" = "$stamp" ] && exit 0

echo "engine: installing node-llama-cpp with its CPU build for $platform (about 25 MB to fetch)" >&2
fresh=$(mktemp -d "$target.new.XXXXXX")
trap 'rm -rf "$fresh"' EXIT
trap 'exit 130' INT TERM
cp "$engine_source/package.json" "$engine_source/package-lock.json" "$fresh/"
NODE_LLAMA_CPP_SKIP_DOWNLOAD=true npm ci --prefix "$fresh" --omit=optional --ignore-scripts --no-audit --no-fund --loglevel=error >&2 \
  || { echo "engine: npm could not install node-llama-cpp; see the lines above" >&2; exit 1; }

tarball=$(cd "$fresh" && npm pack "$platform_package@$platform_version" --silent --loglevel=error) \
  || { echo "engine: npm could not fetch $platform_package@$platform_version" >&2; exit 1; }
node -e '
  const { createHash } = require("node:crypto");
  const { readFileSync } = require("node:fs");
  const [file, want] = process.argv.slice(1);
  const got = "sha512-" + createHash("sha512").update(readFileSync(file)).digest("base64");
  if (want !== "-" && got !== want) { console.error(`engine: ${file} has digest ${got}, wanted ${want}`); process.exit(1); }
' "$fresh/$tarball" "$platform_digest"
mkdir -p "$fresh/node_modules/$platform_package"
tar -xzf "$fresh/$tarball" -C "$fresh/node_modules/$platform_package" --strip-components=1
rm "$fresh/$tarball"

echo "$stamp" > "$fresh/stamp"
chmod 755 "$fresh"
if [ -e "$target" ]; then mv "$target" "$fresh.old"; fi
mv "$fresh" "$target"
rm -rf "$fresh.old"
