#!/usr/bin/env bash
# The one test command: formatting, lints and all tests, against a real Kafka, PostgreSQL and Redis that it starts and stops itself.
set -euo pipefail

usage() {
    cat >&2 <<'USAGE'
usage: scripts/test.sh [--fast] [-- ARGUMENT...]
  --fast       only the tests that need no service: no Kafka, PostgreSQL or Redis is started
  ARGUMENT...  for `cargo test`: `scripts/test.sh -- --test run` for one file, `scripts/test.sh -- poison` for one name
Services that are given are used, not started, except by tests that must kill or reconfigure one:
  KAFKA_BROKERS=127.0.0.1:9092  POSTGRES_URL=postgres://user@127.0.0.1:5432/db  REDIS_URL=redis://127.0.0.1:6379
Tests make topics, tables and keys of their own names there, and leave everybody else's alone.
On Debian and Ubuntu as root, what is missing is installed; elsewhere it is named.
USAGE
    exit 2
}

fast=''
while (($#)); do
    case $1 in
        --fast) fast=yes; shift ;;
        --) shift; break ;;
        *) usage ;;
    esac
done

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# What somebody has set for their own workers must not reach the tests
for name in $(compgen -e); do [[ $name == ANALYTICA_* ]] && unset "$name"; done

say() { printf '%s\n' "$*" >&2; }

# A stage of the work, with its time. Not in a condition: `set -e` would be off inside it.
stage() {
    local title=$1 began=$SECONDS
    shift
    say "── $title"
    "$@"
    say "   $title: $((SECONDS - began)) s"
}

# --- what must be there
missing=() packages=()
# need COMMAND PACKAGE: COMMAND is found, or PACKAGE is noted
need() { command -v "$1" >/dev/null || { missing+=("$1"); packages+=("$2"); }; }
# Debian keeps the server's programs out of PATH, one folder a version
postgres_bin() {
    local found
    if command -v initdb >/dev/null; then found=$(command -v initdb); else found=$(compgen -G '/usr/lib/postgresql/*/bin/initdb' | sort -V | tail -1) || true; fi
    [[ -n $found ]] && dirname "$found"
}

requirements() {
    missing=() packages=()
    # librdkafka, OpenSSL, SQLite, zlib and zstd are built from source: a C compiler, make and perl do
    need cc build-essential
    need make build-essential
    need perl perl
    need git git
    [[ -n $fast ]] && return
    # Some tests kill a Kafka or a Redis, or give a server a certificate: those are their own, whatever is given
    need java default-jre-headless
    [[ -n ${KAFKA_HOME:-} || -d target/kafka/libs ]] || need mvn maven
    postgres_bin >/dev/null || { missing+=(postgres); packages+=(postgresql); }
    need redis-server redis-server
    need redis-cli redis-tools
    need openssl openssl
    need kcat kcat
}

install() {
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

command -v cargo >/dev/null || { say "no cargo found: install Rust 1.95 or newer with rustup (https://rustup.rs), with rustfmt and clippy"; exit 1; }
requirements
if ((${#missing[@]})); then
    mapfile -t packages < <(printf '%s\n' "${packages[@]}" | sort -u)
    if [[ $EUID == 0 ]] && command -v apt-get >/dev/null; then
        stage "install ${packages[*]}" install "${packages[@]}"
        requirements
    fi
    if ((${#missing[@]})); then
        say "not found: ${missing[*]}"
        say "install what these Debian packages hold: ${packages[*]}   (sudo apt-get install ${packages[*]})"
        say "or run scripts/test.sh --fast, which needs no service"
        exit 1
    fi
fi

# --- what is started here, and always stopped
work=$(mktemp -d)
# The database runs as another user where we are root, and must get to its folder
chmod 755 "$work"
pids=()
stop_all() {
    local status=$?
    trap - EXIT
    trap '' INT TERM
    [[ -d $work/kafka ]] && scripts/kafka/stop.sh --dir "$work/kafka"
    for pid in "${pids[@]+"${pids[@]}"}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]+"${pids[@]}"}"; do wait "$pid" 2>/dev/null || true; done
    rm -rf "$work"
    exit "$status"
}
trap stop_all EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

free_port() {
    local port
    while port=$((20000 + RANDOM % 12000)); do # below the ephemeral range, which starts at 32768
        answers "$port" || { echo "$port"; return; }
    done
}

# wait_for PID PORT LOG: until something answers there; the log's end if it never does
wait_for() {
    local deadline=$((SECONDS + 60))
    until answers "$2"; do
        if ! kill -0 "$1" 2>/dev/null || ((SECONDS > deadline)); then
            say "it did not start; the end of its log:"
            tail -20 "$3" >&2
            return 1
        fi
        sleep 0.1
    done
}

start_redis() {
    local port
    port=$(free_port)
    mkdir "$work/redis"
    # setsid: a Ctrl-C ends the tests first, then the services, in stop_all's order
    setsid redis-server --port "$port" --bind 127.0.0.1 --dir "$work/redis" --save '' --appendonly no --maxmemory-policy noeviction \
        >"$work/redis.log" 2>&1 </dev/null &
    pids+=($!)
    wait_for $! "$port" "$work/redis.log"
    export REDIS_URL=redis://127.0.0.1:$port
}

start_postgres() {
    local port bin as=()
    port=$(free_port) bin=$(postgres_bin)
    mkdir "$work/postgres"
    # It refuses to run as root; its Debian package brings the user postgres
    if [[ $EUID == 0 ]]; then
        as=(setpriv --reuid postgres --regid postgres --init-groups --)
        chown postgres "$work/postgres"
    fi
    # From a folder that its user may be in; durability is for data that somebody wants to keep
    (cd "$work/postgres" && "${as[@]+"${as[@]}"}" "$bin/initdb" -D "$work/postgres/data" -U postgres -A trust -E UTF8 --no-locale --no-sync) >"$work/initdb.log" 2>&1 ||
        { tail -20 "$work/initdb.log" >&2; return 1; }
    (cd "$work/postgres" && exec setsid "${as[@]+"${as[@]}"}" "$bin/postgres" -D "$work/postgres/data" -p "$port" -h 127.0.0.1 -k "$work/postgres" \
        -c fsync=off -c full_page_writes=off -c max_connections=200) >"$work/postgres.log" 2>&1 </dev/null &
    pids+=($!)
    wait_for $! "$port" "$work/postgres.log"
    export POSTGRES_URL=postgres://postgres@127.0.0.1:$port/postgres
}

start_kafka() {
    KAFKA_BROKERS=$(scripts/kafka/start.sh --dir "$work/kafka")
    export KAFKA_BROKERS
}

services() {
    local given=' (given)'
    say "the tests meet"
    local kafka=$given postgres=$given redis=$given
    [[ -d $work/kafka ]] && kafka=", Apache Kafka $(kafka_version)"
    [[ -d $work/postgres ]] && postgres=", $("$(postgres_bin)/postgres" --version)"
    [[ -d $work/redis ]] && redis=", Redis $(redis-server --version | sed 's/.* v=\([^ ]*\).*/\1/')"
    say "   Kafka       $KAFKA_BROKERS$kafka"
    # A given URL may hold a password
    say "   PostgreSQL  $(hide "$POSTGRES_URL")$postgres"
    say "   Redis       $(hide "$REDIS_URL")$redis"
}
hide() { sed 's#://[^/@]*@#://***@#' <<<"$1"; }
kafka_version() {
    local libs=${KAFKA_HOME:-target/kafka/libs}
    [[ -d $libs/libs ]] && libs=$libs/libs
    find "$libs" -name 'kafka_2.13-*.jar' | sed 's/.*kafka_2.13-\(.*\)\.jar/\1/' | head -1
}

began=$SECONDS
stage formatting cargo fmt --check
stage clippy cargo clippy --quiet --all-targets -- -D warnings
if [[ -n $fast ]]; then
    unset KAFKA_BROKERS POSTGRES_URL REDIS_URL
    say "--fast: the tests meet no real service"
else
    [[ -n ${REDIS_URL:-} ]] || stage "start Redis" start_redis
    [[ -n ${POSTGRES_URL:-} ]] || stage "start PostgreSQL" start_postgres
    [[ -n ${KAFKA_BROKERS:-} ]] || stage "start Kafka" start_kafka
    services
fi
# The test files that meet no service; every other one fails where its service is not given
without_services=(--lib --bins --test cases --test delivery --test house --test pipeline --test source --test starter --test telemetry --test templates --test validate)
if [[ -n $fast ]]; then
    stage tests cargo test --no-fail-fast "${without_services[@]}" "$@"
else
    stage tests cargo test --no-fail-fast "$@"
fi
[[ -n $fast ]] || services
say "all passed in $((SECONDS - began)) s"
