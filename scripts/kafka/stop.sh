#!/usr/bin/env bash
# Stops the brokers that start.sh started in a folder. Its data stays for a look; the next start wipes it.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
target=${CARGO_TARGET_DIR:-$here/../../target}
dir=''
while (($#)); do
    case $1 in
        --dir) dir=${2:?}; shift 2 ;;
        --port) dir=$target/kafka/run-${2:?}; shift 2 ;;
        *) echo "usage: scripts/kafka/stop.sh --dir DIR | --port N" >&2; exit 2 ;;
    esac
done
[[ -n $dir ]] || { echo "usage: scripts/kafka/stop.sh --dir DIR | --port N" >&2; exit 2; }

compgen -G "$dir/*.pid" >/dev/null || exit 0
for pid in "$dir"/*.pid; do kill "$(<"$pid")" 2>/dev/null || true; done
for pid in "$dir"/*.pid; do
    for _ in {1..150}; do kill -0 "$(<"$pid")" 2>/dev/null || break; sleep 0.1; done
    # Three combined controllers that leave together cannot agree on it: the last one would wait
    kill -9 "$(<"$pid")" 2>/dev/null || true
    rm -f "$pid"
done
