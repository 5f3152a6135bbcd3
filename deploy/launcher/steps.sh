# shellcheck shell=sh disable=SC2154 # $root and $cache are set by ./atoll
# How the launcher shows its work and keeps two launchers apart. Sourced by ./atoll, which sets $cache.
#
# A step that takes less than a second says nothing; a longer one shows what it does and for how long:
# on a terminal as a line that counts the seconds, elsewhere as one line at its start and one at its end.

say() { printf 'atoll: %s\n' "$*" >&2; }

# fail <what went wrong> [<what to do>…]: ends the launcher with exit code 1.
fail() {
  say "$1"
  shift
  for line in "$@"; do printf '       %s\n' "$line" >&2; done
  exit 1
}

# step <name> <label> <command…>: runs the command with its output in .cache/logs/<name>.log.
# Returns the command's exit code; on failure the log's tail has been shown.
step() {
  step_log=$cache/logs/$1.log
  step_label=$2
  shift 2
  mkdir -p "$cache/logs"
  step_started=$(date +%s)
  announce "$step_label" &
  step_ticker=$!
  step_code=0
  "$@" >"$step_log" 2>&1 </dev/null || step_code=$?
  kill "$step_ticker" 2>/dev/null || :
  wait "$step_ticker" 2>/dev/null || :
  step_ticker=
  step_seconds=$(($(date +%s) - step_started))
  if [ "$step_code" -ne 0 ]; then
    end_line "$step_label: failed after $step_seconds s; the end of $step_log:"
    tail -n 40 "$step_log" | sed 's/^/  | /' >&2
  elif [ "$step_seconds" -ge 1 ]; then
    end_line "$step_label: done in $step_seconds s"
  fi
  return "$step_code"
}

# The sleep must not hold the launcher's own output open after its ticker has been ended.
announce() {
  announce_seconds=1
  sleep 1 >/dev/null 2>&1
  if [ ! -t 2 ]; then
    printf 'atoll: %s …\n' "$1" >&2
    return
  fi
  while :; do
    printf '\ratoll: %s … %s s' "$1" "$announce_seconds" >&2
    sleep 1 >/dev/null 2>&1
    announce_seconds=$((announce_seconds + 1))
  done
}

end_line() {
  if [ -t 2 ]; then printf '\r\033[K' >&2; fi
  say "$1"
}

# process_identity <pid>: the pid with its start time where /proc tells it, so that a reused pid is another process.
# Prints nothing when there is no such process.
process_identity() {
  if [ -r "/proc/$1/stat" ]; then
    identity_fields=$(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null) || return 0
    # Start time is field 22 of the line, so the 20th after the command's name.
    identity_start=$(printf '%s\n' "$identity_fields" | cut -d ' ' -f 20)
    printf '%s:%s\n' "$1" "$identity_start"
  elif kill -0 "$1" 2>/dev/null; then
    printf '%s:unknown\n' "$1"
  fi
}

# take_lock: one launcher at a time sets up a checkout. The lock is a symbolic link whose text is its holder's identity:
# made in one step, so it never exists without naming its holder. A holder that died is cleared away.
take_lock() {
  lock=$cache/lock
  lock_mine=$(process_identity $$)
  lock_said=
  while ! ln -s "$lock_mine" "$lock" 2>/dev/null; do
    lock_holder=$(readlink "$lock" 2>/dev/null) || { sleep 0.1 2>/dev/null || sleep 1; continue; }
    if [ "$(process_identity "${lock_holder%%:*}")" != "$lock_holder" ]; then
      clear_stale_lock "$lock_holder"
      continue
    fi
    if [ -z "$lock_said" ]; then
      say "waiting for the launcher that is setting up this checkout (process ${lock_holder%%:*})"
      lock_said=yes
    fi
    sleep 1
  done
  lock_held=yes
}

# Two launchers may find the same dead holder: the one that wins the guard looks again before it removes, so that
# neither can remove a lock that the other has just taken. A guard whose holder died is given up after a minute.
clear_stale_lock() {
  if mkdir "$lock.clearing" 2>/dev/null; then
    if [ "$(readlink "$lock" 2>/dev/null)" = "$1" ]; then rm -f "$lock"; fi
    rmdir "$lock.clearing" 2>/dev/null || :
  else
    find "$lock.clearing" -prune -mmin +1 -exec rmdir {} \; 2>/dev/null || :
    sleep 1
  fi
}

release_lock() {
  if [ "${lock_held:-}" = yes ] && [ "$(readlink "$lock" 2>/dev/null)" = "$lock_mine" ]; then rm -f "$lock"; fi
  lock_held=
}
