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

# What is missing, as package names of this machine's package manager.
missing_packages() {
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

# Everything that Shipway needs to be built and to run: Rust, a C compiler, Git, PostgreSQL's server programs.
set_up() {
  command -v cargo >/dev/null || [ ! -f "$HOME/.cargo/env" ] || . "$HOME/.cargo/env"
  command -v cargo >/dev/null ||
    fail "Rust is not installed" "install Rust 1.95 or newer (https://rustup.rs) and run this again"
  local packages
  mapfile -t packages < <(missing_packages)
  [ ${#packages[@]} -gt 0 ] || return 0
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
  mapfile -t packages < <(missing_packages)
  [ ${#packages[@]} -eq 0 ] || fail "still missing after the installation: ${packages[*]}"
}

# Builds the optimised programs. Always the whole workspace: one set of features, nothing compiled twice.
build_release() {
  if [ ! -x "$target/release/shipway" ]; then
    say "building Shipway (the first time takes some minutes)"
  fi
  cargo build --manifest-path "$root/Cargo.toml" --release --workspace --bins --locked
}
