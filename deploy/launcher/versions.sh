# shellcheck shell=sh
# Comparing versions and content. Sourced by ./atoll.

# version_at_least <have> <want>: compares major.minor.patch as numbers; a leading v and any suffix are ignored.
# A missing part counts as 0; text that is no version is never enough.
version_at_least() {
  awk -v have="$1" -v want="$2" 'BEGIN {
    sub(/^v/, "", have); sub(/^v/, "", want)
    if (have !~ /^[0-9]/) exit 1
    split(have, h, "."); split(want, w, ".")
    for (i = 1; i <= 3; i++) {
      if (h[i] + 0 > w[i] + 0) exit 0
      if (h[i] + 0 < w[i] + 0) exit 1
    }
    exit 0
  }'
}

# stamp_of <text> <file…>: one line that changes when the text or a file's content changes.
stamp_of() {
  stamp_text=$1
  shift
  { printf '%s\n' "$stamp_text" && cat "$@"; } | cksum
}

# stamp_matches <stamp file> <stamp>
stamp_matches() {
  [ -f "$1" ] && IFS= read -r stamp_found <"$1" && [ "$stamp_found" = "$2" ]
}
