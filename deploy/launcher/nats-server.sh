# shellcheck shell=sh disable=SC2154 # $root and $cache are set by ./atoll
# Finds nats-server ≥ 2.10 or fetches Debian's package of it, without root. Sourced by ./atoll, which sets $cache.
# Exports ATOLL_NATS_SERVER, the program's path.

nats_version_min=2.10.0

ensure_nats_server() {
  nats_on_path=$(command -v nats-server 2>/dev/null || :)
  nats_fetched=$cache/nats-server/nats-server
  if [ -n "${ATOLL_NATS_SERVER:-}" ]; then
    nats_is_usable "$ATOLL_NATS_SERVER" || fail "ATOLL_NATS_SERVER=$ATOLL_NATS_SERVER does not run" \
      'Set it to the path of a nats-server program, or unset it.'
    nats_chosen=$ATOLL_NATS_SERVER
  elif nats_is_new_enough "$nats_on_path"; then
    nats_chosen=$nats_on_path
  elif nats_is_usable "$nats_fetched"; then
    nats_chosen=$nats_fetched
  else
    step nats-server 'fetching nats-server from Debian' fetch_nats_server || :
    if nats_is_usable "$nats_fetched"; then nats_chosen=$nats_fetched; else nats_chosen=$nats_on_path; fi
    nats_is_usable "$nats_chosen" || fail "no nats-server ≥ $nats_version_min here, and it could not be fetched" \
      'Install it so that nats-server is on the PATH, and run this again:' \
      '  Debian 13 and newer, Ubuntu 24.10 and newer: sudo apt-get install nats-server' \
      '  macOS: brew install nats-server' \
      '  elsewhere: https://github.com/nats-io/nats-server/releases'
  fi
  nats_is_new_enough "$nats_chosen" || say "warning: $("$nats_chosen" --version) is older than $nats_version_min:" \
    'it works for trying Atoll, but does not sync every message to disk'
  ATOLL_NATS_SERVER=$nats_chosen
  export ATOLL_NATS_SERVER
}

nats_is_usable() { [ -n "$1" ] && "$1" --version >/dev/null 2>&1; }

nats_is_new_enough() {
  [ -n "$1" ] && nats_printed=$("$1" --version 2>/dev/null) && version_at_least "${nats_printed##*[ v]}" "$nats_version_min"
}

# Tries the next stable suite first, then the machine's own; keeps the first that is new enough, else the last that runs.
fetch_nats_server() {
  for nats_tool in apt-get dpkg-deb; do
    command -v "$nats_tool" >/dev/null 2>&1 || { echo "no $nats_tool here: not a Debian-like machine"; return 1; }
  done
  # shellcheck source=/dev/null
  nats_suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
  nats_work=$cache/nats-server.new.$$
  rm -rf "$cache"/nats-server.new.*
  nats_code=1
  for nats_target in $(nats_suites_to_try "$nats_suite"); do
    rm -rf "$nats_work"
    mkdir -p "$nats_work"
    if nats_fetch_from_suite "$nats_suite" "$nats_target" "$nats_work" && nats_is_usable "$nats_work/nats-server"; then
      rm -rf "$cache/nats-server"
      mkdir "$nats_work/keep" && mv "$nats_work/nats-server" "$nats_work/keep/" && mv "$nats_work/keep" "$cache/nats-server"
      nats_code=0
      nats_is_new_enough "$cache/nats-server/nats-server" && break
    fi
  done
  rm -rf "$nats_work"
  return "$nats_code"
}

# nats_suites_to_try <this machine's suite>: bookworm's own is 2.9, trixie's 2.10.
nats_suites_to_try() {
  case "$1" in
    '') ;;
    buster | bullseye | bookworm) echo "trixie $1" ;;
    jammy | noble) echo "plucky $1" ;;
    *) echo "$1" ;;
  esac
}

# nats_fetch_from_suite <machine's suite> <wanted suite> <work folder>: leaves <work folder>/nats-server.
# apt works on lists, caches and sources of its own in the work folder, so it needs no root and changes nothing.
nats_fetch_from_suite() {
  nats_apt_sources "$1" "$2" >"$3/sources.list"
  [ -s "$3/sources.list" ] || { echo "this machine's apt sources name no suite $1"; return 1; }
  cat "$3/sources.list"
  mkdir -p "$3/lists/partial" "$3/archives/partial" "$3/package"
  : >"$3/status"
  # Read after the machine's own configuration, whose proxies stay in force and whose hooks (they need root) do not.
  cat >"$3/apt.conf" <<END
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Post-Invoke;
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::PDiffs "false";
Acquire::Retries "2";
Acquire::http::Timeout "30";
Dir::State "$3";
Dir::State::lists "$3/lists";
Dir::State::status "$3/status";
Dir::Cache "$3";
Dir::Cache::archives "$3/archives";
Dir::Etc::sourcelist "$3/sources.list";
Dir::Etc::sourceparts "-";
Dir::Etc::preferencesparts "-";
Dir::Etc::preferences "-";
END
  apt-get -c "$3/apt.conf" update || return 1
  (cd "$3/package" && apt-get -c "$3/apt.conf" download nats-server) || return 1
  for nats_deb in "$3"/package/nats-server_*.deb; do dpkg-deb -x "$nats_deb" "$3/package/root" || return 1; done
  for nats_place in usr/sbin usr/bin; do
    if [ -x "$3/package/root/$nats_place/nats-server" ]; then
      mv "$3/package/root/$nats_place/nats-server" "$3/nats-server"
      return 0
    fi
  done
  echo 'the package holds no nats-server program'
  return 1
}

# nats_apt_sources <machine's suite> <wanted suite> [<apt folder>]: the machine's own sources of its main suite, with the
# suite replaced, in one-line form. Update, security and foreign archives are left out. Reads both forms of sources.
nats_apt_sources() {
  for nats_source in "${3:-/etc/apt}"/sources.list "${3:-/etc/apt}"/sources.list.d/*.list; do
    [ -r "$nats_source" ] || continue
    awk -v from="$1" -v to="$2" '
      /^deb[ \t]/ {
        suite = 0
        for (i = 2; i <= NF; i++) if ($i == from) suite = i
        if (suite) { $suite = to; print }
      }' "$nats_source"
  done
  for nats_source in "${3:-/etc/apt}"/sources.list.d/*.sources; do
    [ -r "$nats_source" ] || continue
    awk -v from="$1" -v to="$2" '
      function flush(   u, s, uris, suites) {
        if (field["types"] ~ /(^| )deb( |$)/ && tolower(field["enabled"]) != "no") {
          split(field["uris"], uris, " "); split(field["suites"], suites, " ")
          options = field["signed-by"] ~ /^\// ? "[signed-by=" field["signed-by"] "] " : ""
          for (u in uris) for (s in suites) if (suites[s] == from)
            print "deb " options uris[u] " " to " " field["components"]
        }
        split("", field); name = ""
      }
      /^[ \t]*$/ { flush(); next }
      /^#/ { next }
      /^[ \t]/ { sub(/^[ \t]+/, ""); if (name != "") field[name] = field[name] " " $0; next }
      { name = tolower($0); sub(/:.*/, "", name); value = $0; sub(/^[^:]*:[ \t]*/, "", value); field[name] = value }
      END { flush() }' "$nats_source"
  done
}
