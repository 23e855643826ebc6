# Sourced by scripts/bench: a peer measured beside Shipway in one sitting, in turns, between probes of the machine.
. "$root/scripts/lib/processes.sh"
. "$root/scripts/lib/cluster.sh"


# Installs a peer from its package into the build folder, once a version.
fetch_peer() { # name
  local version
  version=$(node --version 2>/dev/null) || version=v0
  version=${version#v}
  [ "${version%%.*}" -ge 20 ] || fail "the drivers of peers need Node 20 or newer, and npm"
  peer=$target/peers/$1
  mkdir -p "$peer"
  cmp -s "$root/scripts/peers/$1/package.json" "$peer/package.json" && [ -d "$peer/node_modules" ] && return
  say "setting up: installing $1 into $peer"
  cp "$root/scripts/peers/$1/package.json" "$peer/"
  (cd "$peer" && npm install --no-audit --no-fund --no-package-lock --silent >&2) ||
    fail "npm could not install $1"
}

# A driver beside the packages that it imports; the repository holds none of them.
place_drivers() { # name
  mkdir -p "$data/drivers/$1"
  cp "$root/scripts/peers/measure.mjs" "$data/drivers/"
  cp "$root/scripts/peers/$1"/*.mjs "$data/drivers/$1/"
  ln -sfn "$peer/node_modules" "$data/drivers/node_modules"
}

# A port that nothing listens on.
free_port() {
  node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })'
}

# Resident memory of a part and its children in MB.
memory_of() { # name
  local pid
  pid=$(pid_of "$1")
  cat "/proc/$pid/status" $(sed 's|[0-9]*|/proc/&/status|g;s|/proc//status||g' "/proc/$pid/task/$pid/children") 2>/dev/null |
    awk '$1 == "VmRSS:" { sum += $2 } END { printf "%.0f", sum / 1024 }'
}

figure() { # peer, metric, stat, value, unit
  printf '{"peer":"%s","metric":"%s","stat":"%s","value":%s,"unit":"%s"}\n' "$@"
}

milliseconds() { local now=${EPOCHREALTIME/./}; printf '%s\n' $((now / 1000)); }

# Waits until an address answers over HTTP with a success.
answers() { # host:port, path
  local until=$((SECONDS + 60))
  until [[ "$(http_status "$1" "$2")" = 2* ]]; do
    [ $SECONDS -lt $until ] || fail "$1$2 does not answer" "the logs are in $data"
    sleep 0.02
  done
}

# --- the peers: each prints its figures for the wanted workloads ----------------------------------------------------------

measure_restate() { # workloads
  local folder=$data/restate-server ingress admin node_port service began_at
  ingress=$(free_port) admin=$(free_port) node_port=$(free_port) service=$(free_port)
  rm -rf "$folder"
  mkdir -p "$folder"
  export RESTATE_DISABLE_TELEMETRY=true RESTATE_LOG_FILTER=warn RESTATE_LISTEN_MODE=tcp RESTATE_BIND_IP=127.0.0.1
  export RESTATE_BIND_ADDRESS=127.0.0.1:$node_port RESTATE_ADVERTISED_ADDRESS=http://127.0.0.1:$node_port
  export RESTATE_INGRESS__BIND_ADDRESS=127.0.0.1:$ingress RESTATE_ADMIN__BIND_ADDRESS=127.0.0.1:$admin
  began_at=$(milliseconds)
  launch restate-server "$peer"/node_modules/@restatedev/restate-server-linux-*/bin/restate-server \
    --base-dir "$folder/data" --node-name bench
  answers "127.0.0.1:$admin" /health
  answers "127.0.0.1:$ingress" /restate/health
  if [[ ",$1," = *,W6,* ]]; then
    figure restate W6.ready one $(($(milliseconds) - began_at)) ms
    figure restate W6.rss_idle one "$(memory_of restate-server)" MB
  fi
  SERVICE_PORT=$service launch restate-service node "$data/drivers/restate/service.mjs"
  local until=$((SECONDS + 60))
  until curl -sf -X POST "http://127.0.0.1:$admin/deployments" -H 'content-type: application/json' \
    -d "{\"uri\":\"http://127.0.0.1:$service\"}" >/dev/null; do
    [ $SECONDS -lt $until ] || fail "restate does not take the service" "the logs are in $data"
    sleep 0.1
  done
  INGRESS_PORT=$ingress node "$data/drivers/restate/drive.mjs" "$1"
  [[ ",$1," != *,W2,* ]] || figure restate W6.rss_after_w2 one "$(memory_of restate-server)" MB
  if [[ ",$1," = *,W5,* ]]; then
    if command -v wrk >/dev/null; then
      wrk -t2 -c50 -d6s -s "$root/scripts/peers/restate/ingest.lua" "http://127.0.0.1:$ingress/Node/ingest/send" | grep '^{'
    else
      say "W5 of restate needs the package wrk, which is not here"
    fi
  fi
  stop restate-service 10
  stop restate-server 30
}

measure_dbos() { # workloads
  port=$(($(free_port) - 30))
  start_postgres >&2
  DATABASE_URL=$(database_url) node "$data/drivers/dbos/drive.mjs" "$1"
  stop postgres 30 INT
  rm -rf "$data/postgres"
}

# --- the sitting ------------------------------------------------------------------------------------------------------------

# Measures Shipway and a peer in turns and prints every figure, then both beside each other. Nothing stays but the peer's
# packages in the build folder.
versus() { # peer, rounds, workloads, arguments of `shipway bench`…
  local name=$1 rounds=$2 workloads=$3 round workload
  shift 3
  case $name in
    restate | dbos) ;;
    *) fail "there is no driver for $name" "there are restate and dbos" ;;
  esac
  fetch_peer "$name"
  data=$(mktemp -d)
  chmod 755 "$data"
  port=0
  trap 'for part in restate-service restate-server postgres; do signal KILL $part; done; rm -rf "$data"' EXIT
  place_drivers "$name"
  for round in $(seq "$rounds"); do
    for workload in ${workloads//,/ }; do
      say "round $round of $rounds: $workload, Shipway"
      "$target/release/shipway" bench --only "$workload" "$@" | tee -a "$data/figures"
      say "round $round of $rounds: $workload, $name"
      "measure_$name" "$workload" | tee -a "$data/figures"
    done
  done
  node "$root/scripts/peers/table.mjs" "$data/figures" >&2
}
