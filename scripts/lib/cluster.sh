# Sourced by scripts/cluster: what the parts of the cluster are, how each is started, and what the verbs do.

kinds=(pipelines triggers scheduler executor console)
# In the order in which they are started; they stop in the other order.
parts=(postgres nats-1 nats-2 nats-3)
for kind in "${kinds[@]}"; do parts+=("$kind-1" "$kind-2"); done
parts+=(lb)

# How long a part may take to become ready, and to stop: a little more than a service takes to drain.
patience=60
grace=30

# --- where everything is -------------------------------------------------------------------------------------------

# Finds the cluster's folder and its port: the one that it was made with, if none is named.
locate() {
  [ -d "$data" ] || fail "there is no cluster in $data" "scripts/cluster up starts one; --data names another folder"
  data=$(cd "$data" && pwd)
  [ -n "$port" ] || { [ -f "$data/port" ] && read -r port <"$data/port"; } || port=7400
  shipway=${SHIPWAY_BIN:-$target/release/shipway}
}

# As `locate`, and makes what is missing: packages, the program, the folder.
prepare() {
  set_up cluster
  [ -n "${SHIPWAY_BIN:-}" ] || build_release
  mkdir -p "$data"
  # Databases, builds and instances run as other users, who have to be able to pass.
  chmod 755 "$data"
  local before
  if [ -n "$port" ] && read -r before 2>/dev/null <"$data/port" && [ "$before" != "$port" ]; then
    fail "the cluster in $data has port $before" "leave --port out, or name another folder with --data"
  fi
  locate
  # A port that cannot be is said before anything is made with it.
  local said
  settings >"$data/settings.asked"
  said=$("$shipway" config check --config "$data/settings.asked" 2>&1) ||
    { say "$said"; fail "a cluster cannot have its front at port $port; why is above" "--port names another"; }
  rm "$data/settings.asked"
  printf '%s\n' "$port" >"$data/port"
}

# Where a part listens, as host:port.
address() { # part
  local part=$1 offset=0
  case $part in
    lb) ;;
    postgres) offset=30 ;;
    nats-*) offset=$((40 + ${part#nats-})) ;;
    *)
      local kind
      for kind in "${kinds[@]}"; do
        offset=$((offset + 2))
        [ "$kind" != "${part%-*}" ] || break
      done
      offset=$((8 + offset + ${part##*-}))
      ;;
  esac
  printf '127.0.0.1:%s\n' $((port + offset))
}

# The ports of NATS beside that for clients: for the other servers, and for its state.
nats_route() { printf '127.0.0.1:%s\n' $((port + 50 + $1)); }
nats_monitor() { printf '127.0.0.1:%s\n' $((port + 60 + $1)); }

# The first of the ports that what is deployed gets, and of those that stay inside the executors.
first_port() { printf '%s\n' $((port + 100)); }

database_url() { printf 'postgres://postgres@%s/shipway\n' "$(address postgres)"; }

# --- how each part is started --------------------------------------------------------------------------------------

# The user that PostgreSQL runs as: it refuses to run as root.
postgres_user() { id -un postgres 2>/dev/null || echo nobody; }

# Runs a program of PostgreSQL's in its folder, as its user. As root the folders above may be closed to that user: then
# the program gets a view of its own, in which the folder is at another place. Nobody else sees that.
as_postgres() { # run | exec, program, arguments…; `@` at the beginning of an argument is the folder
  local how=$1 program=$2 folder=$data/postgres user view=()
  shift 2
  if [ "$(id -u)" = 0 ]; then
    user=$(postgres_user)
    chown "$user" "$folder"
    local switch=(setpriv --reuid "$user" --regid "$(id -g "$user")" --clear-groups --)
    if ! (cd / && "${switch[@]}" test -x "$folder" -a -x "$postgres"); then
      unshare --mount true 2>/dev/null ||
        fail "the user $user cannot reach $folder" "name a folder that others may pass with --data"
      view=(unshare --mount sh -c 'mount -t tmpfs -o mode=755 shipway /mnt && mkdir /mnt/postgres &&
        mount --bind "$0" /mnt/postgres && exec "$@"' "$folder")
      folder=/mnt/postgres
    fi
    view+=("${switch[@]}")
  fi
  local arguments=("${@/#@/$folder}")
  if [ "$how" = run ]; then
    (cd / && "${view[@]}" "$postgres/$program" "${arguments[@]}")
  else
    (cd / && launch postgres "${view[@]}" "$postgres/$program" "${arguments[@]}")
  fi
}

start_postgres() {
  local folder=$data/postgres
  postgres=$(postgres_folder)
  mkdir -p "$folder"
  if [ ! -f "$folder/made" ]; then
    rm -rf "$folder/data"
    # With checksums: a page that the disk has damaged is an error and not an answer.
    as_postgres run initdb -D @/data -U postgres -A trust -E UTF8 --locale=C.UTF-8 --data-checksums >"$folder/initdb" 2>&1 ||
      { tail -n 20 "$folder/initdb" >&2; fail "initdb did not work; its last lines are above"; }
    touch "$folder/made"
  fi
  local settings=() file=$root/infra/postgres/postgresql.conf
  # The file is read as it is now, also by a cluster that was made before it changed.
  if [ -f "$file" ]; then
    install -m 644 "$file" "$folder/shipway.conf"
    grep -q shipway.conf "$folder/data/postgresql.conf" ||
      printf "include '../shipway.conf'\n" >>"$folder/data/postgresql.conf"
  fi
  local host
  host=$(address postgres)
  settings+=(-c listen_addresses=127.0.0.1 -c "port=${host##*:}" -c unix_socket_directories= -c max_connections=300)
  local try
  for try in $(seq $patience); do
    as_postgres exec postgres -D @/data "${settings[@]}"
    until ready postgres; do
      # After a kill -9 its children notice by themselves; before that a new one refuses to start.
      pid_of postgres >/dev/null || { sleep 1; continue 2; }
      sleep 0.1
    done
    "$postgres/createdb" -h 127.0.0.1 -p "${host##*:}" -U postgres shipway 2>"$folder/createdb" ||
      grep -q 'already exists' "$folder/createdb" || fail "$(cat "$folder/createdb")"
    return
  done
  tail -n 5 "$folder/log" >&2
  fail "postgres did not start; its last lines are above"
}

start_nats() { # number
  local all
  all=$(printf 'nats://%s, ' "$(nats_route 1)" "$(nats_route 2)" "$(nats_route 3)")
  mkdir -p "$data/nats-$1"
  NATS_NAME=nats-$1 NATS_LISTEN=$(address "nats-$1") NATS_CLUSTER=$(nats_route "$1") NATS_MONITOR=$(nats_monitor "$1") \
    NATS_ROUTES="[${all%, }]" NATS_STORE="\"$data/nats-$1/store\"" \
    launch "nats-$1" "$(nats_server)" -c "$root/infra/nats/node.conf"
}

start_lb() {
  mkdir -p "$data/lb"
  (
    export LB_LISTEN LB_ADMIN
    LB_LISTEN=$(address lb)
    # A socket's path is at most 107 bytes long, and HAProxy adds to it: it is given from where the process stands.
    cd "$data/lb"
    LB_ADMIN=admin.sock
    local kind
    for kind in "${kinds[@]}"; do
      export "${kind^^}_1=$(address "$kind-1")" "${kind^^}_2=$(address "$kind-2")"
    done
    launch lb "$(command -v haproxy)" -db -f "$root/infra/haproxy/haproxy.cfg"
  )
}

# The settings that all services share: each reads what is its own.
settings() {
  cat <<END
# Written by scripts/cluster at each start of a service. What differs from process to process is on its command line.

[database]
url = "$(database_url)"

[nats]
urls = ["nats://$(address nats-1)", "nats://$(address nats-2)", "nats://$(address nats-3)"]
replicas = 3

[blobs]
url = "file://$data/blobs"

[keys]
folder = "$data/keys"

[ports]
first = $(first_port)
last = $(($(first_port) + 499))

[shipway]
urls = ["http://$(address lb)"]
END
}

start_service() { # part
  local kind=${1%-*} own=()
  mkdir -p "$data/$1"
  chmod 755 "$data/$1"
  # In one step: another process may be reading the file just now.
  settings >"$data/settings.part"
  mv "$data/settings.part" "$data/settings.toml"
  own=(--set "server.listen=$(address "$1")")
  case $kind in
    triggers) own+=(--set "reconcile.scratch=$data/$1/scratch" --set "hooks.spool=$data/spool") ;;
    executor) own+=(--set "executor.data=$data/$1/host") ;;
  esac
  launch "$1" "$shipway" serve "$kind" --config "$data/settings.toml" "${own[@]}"
}

start_part() { # part
  case $1 in
    postgres) start_postgres ;;
    nats-*) start_nats "${1#nats-}" ;;
    lb) start_lb ;;
    *) start_service "$1" ;;
  esac
}

# Whether a part does its work.
ready() { # part
  pid_of "$1" >/dev/null || return 1
  case $1 in
    postgres)
      local at
      at=$(address postgres)
      "$(postgres_folder)/pg_isready" -q -h 127.0.0.1 -p "${at##*:}"
      ;;
    nats-*) [ "$(http_status "$(nats_monitor "${1#nats-}")" /healthz)" = 200 ] ;;
    lb) listens "$(address lb)" ;;
    *) [ "$(http_status "$(address "$1")" /readyz)" = 200 ] ;;
  esac
}

wait_ready() { # part
  local until=$((SECONDS + patience))
  until ready "$1"; do
    if ! pid_of "$1" >/dev/null; then
      tail -n 20 "$data/$1/log" >&2
      fail "$1 has ended; its last lines are above" "scripts/cluster logs $1"
    fi
    if [ $SECONDS -ge $until ]; then
      tail -n 20 "$data/$1/log" >&2
      fail "$1 was not ready within $patience s; its last lines are above" "scripts/cluster logs $1"
    fi
    sleep 0.1
  done
}

# --- what the verbs do ---------------------------------------------------------------------------------------------

# The parts that a word means: a part, a kind, all.
named() { # word
  local part
  for part in "${parts[@]}"; do
    if [ "$1" = "$part" ] || [ "$1" = "${part%-*}" ] || [ "$1" = all ]; then printf '%s\n' "$part"; fi
  done | grep . || { say "error: there is no part \`$1\`; these are: ${parts[*]}"; exit 2; }
}

start_parts() { # part…
  local part begun=()
  for part in "$@"; do
    if pid_of "$part" >/dev/null; then continue; fi
    # One step after the other: a service refuses to start without its database, and says so.
    case $part in pipelines-1) wait_parts "${begun[@]}"; begun=() ;; esac
    say "  starting $part at $(address "$part")"
    start_part "$part"
    begun+=("$part")
  done
  wait_parts "${begun[@]}"
}

wait_parts() { # part…
  local part
  for part in "$@"; do wait_ready "$part"; done
}

cluster_up() {
  local begin=$SECONDS
  say "Shipway on this machine, in many processes; data in $data"
  start_parts "${parts[@]}"
  say "All of it is ready after $((SECONDS - begin)) s: http://$(address lb)"
  say "Try next:"
  say "  eval \"\$(scripts/cluster env)\"    the command line speaks to it"
  say "  shipway demo                     a small shop from its first commit to production"
  say "  scripts/cluster kill random      nothing is lost"
  say "  scripts/cluster down             stops all of it"
}

cluster_start() { # word
  local all
  mapfile -t all < <(named "$1")
  [ ${#all[@]} -gt 0 ] || exit 2
  start_parts "${all[@]}"
}

# Kills one part without a word.
cluster_kill() { # word
  local candidates=() running=() part pid
  if [ "$1" = random ]; then
    for part in "${kinds[@]}"; do candidates+=("$part-1" "$part-2"); done
  else
    mapfile -t candidates < <(named "$1")
    [ ${#candidates[@]} -gt 0 ] || exit 2
  fi
  for part in "${candidates[@]}"; do
    if pid_of "$part" >/dev/null; then running+=("$part"); fi
  done
  [ ${#running[@]} -gt 0 ] || fail "nothing of $1 runs" "scripts/cluster start $1"
  part=${running[RANDOM % ${#running[@]}]}
  pid=$(pid_of "$part")
  signal KILL "$part"
  gone_within 10 "$part" || fail "$part cannot be killed"
  say "killed $part (process $pid); \`scripts/cluster start $part\` starts it again"
  printf '%s\n' "$part"
}

cluster_status() {
  local part pid at ready at_time
  printf '%-12s %-8s %-6s %-8s %s\n' WHAT PID PORT READY SINCE
  for part in "${parts[@]}"; do
    at=$(address "$part") pid=- ready=- at_time=-
    if pid=$(pid_of "$part"); then
      ready "$part" && ready=yes || ready=no
      at_time=$(date -d "@$(since "$part")" '+%Y-%m-%d %H:%M:%S')
    else
      pid=-
    fi
    printf '%-12s %-8s %-6s %-8s %s\n' "$part" "$pid" "${at##*:}" "$ready" "$at_time"
  done
}

cluster_logs() { # part, [-f]
  local all
  mapfile -t all < <(named "$1")
  [ ${#all[@]} -gt 0 ] || exit 2
  local files=("${all[@]/#/$data/}")
  files=("${files[@]/%//log}")
  case ${2:-} in
    -f) exec tail -n 50 -F "${files[@]}" ;;
    "") exec tail -n 200 "${files[@]}" ;;
    *) say "error: unknown argument $2"; exit 2 ;;
  esac
}

cluster_env() {
  printf 'export SHIPWAY_CLUSTER=%q\n' "$data"
  printf 'export SHIPWAY_SERVER=http://%s\n' "$(address lb)"
  printf 'export PATH="%s:$PATH"\n' "$(dirname "$shipway")"
  printf 'export DATABASE_URL=%s\n' "$(database_url)"
  printf 'export NATS_URL=nats://%s,nats://%s,nats://%s\n' "$(address nats-1)" "$(address nats-2)" "$(address nats-3)"
}

# Services first, all at once; then what they have deployed, the front, and last what they stand on.
cluster_down() {
  local part at index
  local services=()
  for part in "${kinds[@]}"; do services+=("$part-1" "$part-2"); done
  for part in "${services[@]}"; do signal TERM "$part"; done
  for part in "${services[@]}"; do await_end "$part" $grace; done
  for part in executor-1 executor-2; do
    if [ -d "$data/$part/host" ] && [ -x "$shipway" ]; then "$shipway" down --data "$data/$part/host"; fi
  done
  stop lb 5
  for index in 3 2 1; do stop "nats-$index" 10; done
  # The fast way: open sessions are ended, everything is written.
  stop postgres $grace INT
  say "All of it has stopped. The data are in $data."
}
