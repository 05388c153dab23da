#!/usr/bin/env bash
# Starts Apache Kafka 4.1.1 (KRaft) with an empty data folder, for tests and for trying things out; prints its bootstrap address on stdout.
set -euo pipefail

usage() {
    cat >&2 <<'USAGE'
usage: scripts/kafka/start.sh [--port N] [--brokers 1|3] [--dir DIR] [--keep] [--set KEY=VALUE]...
  --port     the first broker's port; 0 (default) picks a free one
  --brokers  how many brokers (default 1); each is a controller too
  --dir      folder for data, logs and pids (default target/kafka/run-PORT); its data is wiped
  --keep     go on with the data of the last run in that folder; the port must be the same
  --set      a broker property over ours, such as --set message.max.bytes=65536; repeatable
KAFKA_HOME   a folder with Kafka's jars, or with them in libs/; otherwise Maven fetches them into target/kafka/libs (43 MB, once)
Topics are not created automatically: what must exist, is made. Stop it with scripts/kafka/stop.sh --dir DIR, or --port N.
USAGE
    exit 2
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
target=${CARGO_TARGET_DIR:-$here/../../target}
port=0 brokers=1 dir='' keep='' extra=()
while (($#)); do
    case $1 in
        --port) port=${2:?}; shift 2 ;;
        --brokers) brokers=${2:?}; shift 2 ;;
        --dir) dir=${2:?}; shift 2 ;;
        --keep) keep=yes; shift ;;
        --set) extra+=("${2:?}"); shift 2 ;;
        *) usage ;;
    esac
done
[[ $brokers == 1 || $brokers == 3 ]] || usage
command -v java >/dev/null || { echo "no java found: install a Java 17 runtime (Debian: openjdk-17-jre-headless)" >&2; exit 1; }

# --- jars
if [[ -n ${KAFKA_HOME:-} ]]; then
    libs=$KAFKA_HOME
    [[ -d $libs/libs ]] && libs=$libs/libs
else
    mkdir -p "$target/kafka"
    libs=$(cd "$target/kafka" && pwd)/libs
    if [[ ! -d $libs ]]; then
        command -v mvn >/dev/null || { echo "no mvn found: install Maven (Debian: maven), or set KAFKA_HOME to a Kafka 4.1.1" >&2; exit 1; }
        echo "fetching Apache Kafka 4.1.1" >&2
        # Into a folder of this process first: two starts at once must not see half a download
        fetched=$libs.$$
        mvn --batch-mode --quiet -Dstyle.color=never --file "$here/pom.xml" dependency:copy-dependencies -DincludeScope=runtime "-DoutputDirectory=$fetched" >&2
        mv -T "$fetched" "$libs" 2>/dev/null || rm -rf "$fetched"
    fi
fi
ls "$libs"/kafka_2.13-*.jar >/dev/null 2>&1 || { echo "no kafka_2.13 jar in $libs" >&2; exit 1; }

# --- ports: broker i listens on port+2i, its controller on the one after
answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
if [[ $port == 0 ]]; then
    for _ in {1..50}; do
        port=$((20000 + RANDOM % 12000)) # below the ephemeral range, which starts at 32768
        free=yes
        for ((i = 0; i < 2 * brokers; i++)); do answers $((port + i)) && free=no; done
        [[ $free == yes ]] && break
    done
elif answers "$port"; then
    echo "port $port is taken" >&2
    exit 1
fi
dir=${dir:-$target/kafka/run-$port}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
if compgen -G "$dir/*.pid" >/dev/null; then
    for pid in "$dir"/*.pid; do
        kill -0 "$(<"$pid")" 2>/dev/null && { echo "a broker already runs in $dir: scripts/kafka/stop.sh --dir $dir" >&2; exit 1; }
    done
fi
rm -rf "$dir"/*.pid "$dir"/*.log "$dir"/*.properties
[[ -n $keep ]] || rm -rf "$dir"/data-*

# --- settings
voters='' bootstrap=''
for ((i = 0; i < brokers; i++)); do
    voters+="$((i + 1))@127.0.0.1:$((port + 2 * i + 1)),"
    bootstrap+="127.0.0.1:$((port + 2 * i)),"
done
voters=${voters%,} bootstrap=${bootstrap%,}
cluster=$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | cut -c 1-22)
replicas=$((brokers < 3 ? 1 : 3))
for ((i = 0; i < brokers; i++)); do
    node=$((i + 1))
    {
        echo "process.roles=broker,controller"
        echo "node.id=$node"
        echo "listeners=PLAINTEXT://127.0.0.1:$((port + 2 * i)),CONTROLLER://127.0.0.1:$((port + 2 * i + 1))"
        echo "controller.listener.names=CONTROLLER"
        if ((brokers == 1)); then echo "controller.quorum.bootstrap.servers=127.0.0.1:$((port + 1))"; else echo "controller.quorum.voters=$voters"; fi
        echo "log.dirs=$dir/data-$node"
        echo "auto.create.topics.enable=false"
        echo "group.initial.rebalance.delay.ms=0"
        echo "offsets.topic.replication.factor=$replicas"
        echo "transaction.state.log.replication.factor=$replicas"
        echo "transaction.state.log.min.isr=$((replicas < 3 ? 1 : 2))"
        # Small machines: the defaults (50 partitions each) make every first use of a group or transaction slow
        echo "offsets.topic.num.partitions=4"
        echo "transaction.state.log.num.partitions=4"
        for setting in "${extra[@]+"${extra[@]}"}"; do echo "$setting"; done
    } >"$dir/server-$node.properties"
done

# --- start
logging=-Dlog4j2.configurationFile=file:$here/log4j2.properties
standalone=()
((brokers == 1)) && standalone=(--standalone)
for ((node = 1; node <= brokers; node++)); do
    # `=`: an id may start with a dash
    [[ -n $keep ]] || java -Xmx128m -XX:TieredStopAtLevel=1 "$logging" -cp "$libs/*" kafka.tools.StorageTool format --cluster-id="$cluster" -c "$dir/server-$node.properties" \
        "${standalone[@]+"${standalone[@]}"}" >"$dir/format-$node.log" 2>&1 || { cat "$dir/format-$node.log" >&2; exit 1; }
    # setsid: a Ctrl-C meant for a test must not take the broker from under it
    setsid java -Xmx512m -Xms128m "$logging" -cp "$libs/*" kafka.Kafka "$dir/server-$node.properties" >"$dir/server-$node.log" 2>&1 </dev/null &
    echo $! >"$dir/$node.pid"
    disown
done

deadline=$((SECONDS + 90))
for ((node = 1; node <= brokers; node++)); do
    until grep -q 'Kafka Server started' "$dir/server-$node.log" && answers $((port + 2 * (node - 1))); do
        if ! kill -0 "$(<"$dir/$node.pid")" 2>/dev/null || ((SECONDS > deadline)); then
            echo "broker $node did not start; the end of $dir/server-$node.log:" >&2
            tail -20 "$dir/server-$node.log" >&2
            "$here/stop.sh" --dir "$dir" || true
            exit 1
        fi
        sleep 0.1
    done
done
echo "Apache Kafka runs in $dir" >&2
echo "$bootstrap"
