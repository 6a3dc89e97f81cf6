#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# props/faults/find.sh [PATCH...]: does a campaign find each fault, and how soon?
#
# Every PATCH (default: all beside this script) breaks one line of the tree, and
# its first lines say which real bug or rule it stands for. The tree as it is
# now, edits included, is copied once into ${TMPDIR:-/tmp}; there each fault is
# applied, built (preset release; only what it touches), run for ten seconds
# with seed 1, and taken back. The tree itself is never written to.
#
# A patch of hw/kvm runs on spec,kvm, any other on the engines that the machine
# has. The sound tree runs first: if that FAILs, a finding proves nothing.
#
# The table has a row a fault:
#   found     yes, NO, or `not run` (no build, or no verdict: the reason follows)
#   seconds   from the start of the command, canary included, to the first FAIL
#             on stderr; the JSON object has no time of its own for a finding
#   commands  lines of the first finding's program, shrunk if there was time, but
#             for `lockstep`, `title`, `config` and comments
#   proper    of those, all but `slot N add`, `map`, `alias-table`, `entry` and
#             `poke`, which only set the scene
#
# Exit: 0 all found, 1 one was missed, 2 wrong usage, 3 one could not be run.

set -euo pipefail
export LC_ALL=C

budget=10s
seed=1

say() { printf 'find.sh: %s\n' "$*" >&2; }

# --- arguments ---------------------------------------------------------------

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)

patches=()
for argument in "$@"; do
  case $argument in
    -h | --help)
      sed -n '4,/^$/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
      exit 0
      ;;
    -*)
      say "unknown option $argument; see --help"
      exit 2
      ;;
  esac
  # A file, or a name of this folder with or without .patch.
  found=
  for candidate in "$argument" "$here/$argument" "$here/$argument.patch"; do
    if [[ -f $candidate ]]; then
      found=$(cd "$(dirname "$candidate")" && pwd)/$(basename "$candidate")
      break
    fi
  done
  if [[ -z $found ]]; then
    say "no such patch: $argument"
    exit 2
  fi
  patches+=("$found")
done
if ((${#patches[@]} == 0)); then patches=("$here"/*.patch); fi

# --- one copy for all faults -------------------------------------------------

work=$(mktemp -d "${TMPDIR:-/tmp}/lockstep-faults.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
tree=$work/tree
log=$work/log
json=$work/result.json
failures=$work/failures
mkdir "$tree"

# No repository around the copy: git would leave out what it does not track.
export GIT_CEILING_DIRECTORIES=$work
# Folders of other names may share what they compiled.
export CCACHE_BASEDIR=$tree CCACHE_NOHASHDIR=1

git -C "$root" ls-files -z --cached --others --exclude-standard |
  while IFS= read -r -d '' file; do
    # Files that were deleted but not yet committed are still listed.
    if [[ -e $root/$file ]]; then printf '%s\0' "$file"; fi
  done |
  tar -C "$root" --null --files-from=- -cf - | tar -C "$tree" -xf -

for patch in "${patches[@]}"; do
  if ! git -C "$tree" apply --check "$patch"; then
    say "$(basename "$patch") does not apply to this tree"
    exit 2
  fi
done

build() { ninja -C "$tree/build/release" lockstep >"$log" 2>&1; }

say 'building the sound tree'
if ! (cd "$tree" && cmake --preset release >"$log" 2>&1) || ! build; then
  tail -n 20 "$log" >&2
  say 'the sound tree does not build'
  exit 3
fi

# --- one run -----------------------------------------------------------------

# campaign ENGINES: run; sets `status`, `first` (seconds, or empty) and `program`
# (file or folder of the first finding, or empty). ENGINES may be empty.
campaign() {
  local options=(--budget "$budget" --seed "$seed" --failures "$failures" --json "$json")
  if [[ -n $1 ]]; then options=(--engines "$1" "${options[@]}"); fi
  rm -rf "$failures" "$json" "$work/first"
  local begin=$EPOCHREALTIME line
  status=0
  # Only the reader of stderr knows when the first finding was printed.
  "$tree/build/release/lockstep" run "${options[@]}" 2>&1 >"$log" |
    while IFS= read -r line; do
      if [[ $line == FAIL* && ! -e $work/first ]]; then
        printf '%s' "$EPOCHREALTIME" >"$work/first"
      fi
    done || status=${PIPESTATUS[0]}
  first=
  if [[ -e $work/first ]]; then
    first=$(awk -v end="$(<"$work/first")" -v begin="$begin" \
      'BEGIN { printf "%.1f", end - begin }')
  elif ((status == 1)); then
    first=$(awk -v end="$EPOCHREALTIME" -v begin="$begin" 'BEGIN { printf "%.1f", end - begin }')
  fi
  program=
  # Two-space JSON, a key a line; nothing but findings has a "program".
  if [[ -e $json ]]; then
    program=$(sed -n '/^ *"program": "\(.*\)",\{0,1\}$/{s//\1/p;q}' "$json")
  fi
}

# Why the run had no verdict, as the JSON object says it.
reason() {
  if [[ -e $json ]]; then
    sed -n '/^ *"reason": "\(.*\)",\{0,1\}$/{s//\1/p;q}' "$json"
  else
    echo "the command ended with $status"
  fi
}

# count PROGRAM: lines of commands, then those that do not only set the scene.
# Continued lines are indented; the program may be a folder of a sequence.
count() {
  find "$1" -type f -name '*.lockstep' -exec cat {} + | awk '
    /^[ \t]/ || /^(#.*)?$/ || /^(lockstep|title|config)( |$)/ { next }
    { ++all }
    /^slot [0-9a-fx]+ add / || /^(map|alias-table|entry|poke) / { next }
    { ++proper }
    END { printf "%d %d\n", all, proper }'
}

# --- the sound tree, then every fault ----------------------------------------

declare -A sound=()  # engines -> status of the run without a fault

row() { printf '%-34s %-8s %8s %9s %7s\n' "$@"; }

missed=0
not_run=0
row fault found seconds commands proper
for patch in "${patches[@]}"; do
  name=$(basename "$patch" .patch)
  engines=
  if grep -q '^+++ b/hw/kvm/' "$patch"; then engines=spec,kvm; fi

  # The fault before was taken back in source only.
  if [[ -z ${sound[${engines:-all}]-} ]]; then
    if ! build; then
      tail -n 20 "$log" >&2
      exit 3
    fi
    campaign "$engines"
    sound[${engines:-all}]=$status
    if ((status == 1)); then
      say "the sound tree FAILs on ${engines:-its default engines}:"
      sed -n 's/^ *"title": /  /p' "$json" >&2
    fi
  fi
  if ((${sound[${engines:-all}]} != 0)); then
    not_run=1
    row "$name" 'not run' - - -
    say "$name: the sound tree has no pass on ${engines:-its default engines}"
    continue
  fi

  git -C "$tree" apply "$patch"
  if ! build; then
    tail -n 20 "$log" >&2
    not_run=1
    row "$name" 'not run' - - -
    say "$name does not build"
  else
    campaign "$engines"
    if ((status == 1)); then
      all=- proper=-
      if [[ -n $program && -e $program ]]; then
        read -r all proper < <(count "$program")
      fi
      row "$name" yes "$first" "$all" "$proper"
    elif ((status == 0)); then
      missed=1
      row "$name" NO - - -
    else
      not_run=1
      row "$name" 'not run' - - -
      say "$name: $(reason)"
    fi
  fi
  git -C "$tree" apply --reverse "$patch"
done

if ((missed)); then exit 1; fi
if ((not_run)); then exit 3; fi
