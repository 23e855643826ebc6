# Sourced: starts processes that outlive the script, finds them again and ends them. Each has a folder of its own in
# $data with its log and a note of the process: its number, and when it began by the kernel's clock, so that a number
# that another process has been given since is never taken for it.

# When a process began, in the kernel's ticks since the machine's start; nothing if there is none or it is dead.
began() { # pid
  local stat
  read -r stat 2>/dev/null <"/proc/$1/stat" || return 0
  # What comes after the name in brackets, which may hold anything.
  local -a fields
  read -ra fields <<<"${stat##*) }"
  [ "${fields[0]}" = Z ] || printf '%s\n' "${fields[19]}"
}

# The number of a part's process, if it lives.
pid_of() { # name
  local pid ticks
  read -r pid ticks _ 2>/dev/null <"$data/$1/process" || return 1
  [ -n "$ticks" ] && [ "$(began "$pid")" = "$ticks" ] && printf '%s\n' "$pid"
}

# When a part was started, in seconds since 1970.
since() { # name
  local _ at
  read -r _ _ at <"$data/$1/process" && printf '%s\n' "$at"
}

# Starts a part in a session of its own; its output goes to its log.
launch() { # name, command…
  local name=$1 pid
  shift
  mkdir -p "$data/$name"
  # Not as a child of this shell's job: it lives on when the script and its terminal have gone.
  pid=$(setsid --fork sh -c 'echo $$; exec "$@" >>"$0" 2>&1 </dev/null' "$data/$name/log" "$@")
  printf '%s %s %s\n' "$pid" "$(began "$pid")" "$(date +%s)" >"$data/$name/process"
}

# Sends a signal to a part; nothing if it does not run.
signal() { # signal, name
  local pid
  pid=$(pid_of "$2") || return 0
  kill "-$1" "$pid" 2>/dev/null || true
}

# Waits until a part's process is gone; false after so many seconds.
gone_within() { # seconds, name
  local until=$((SECONDS + $1))
  while pid_of "$2" >/dev/null; do
    [ $SECONDS -lt $until ] || return 1
    sleep 0.05
  done
}

# Waits for the end of a part that was asked to stop, and kills it when it has not ended after so many seconds. It is not
# asked again: a service takes a second signal as the wish to stop at once.
await_end() { # name, seconds
  gone_within "$2" "$1" && return
  say "  $1 has not stopped within $2 s and is killed"
  signal KILL "$1"
  gone_within 10 "$1" || fail "$1 cannot be killed"
}

# Asks a part to stop, and waits for its end.
stop() { # name, seconds, [signal]
  signal "${3:-TERM}" "$1"
  await_end "$1" "$2"
}

# The status of an HTTP answer, 000 when there is none. Needs no program but this shell.
http_status() { # host:port, path
  local status=
  status=$(ask "$1" "$2" 2>/dev/null) || true
  printf '%s\n' "${status:-000}"
}

ask() { # host:port, path
  local status
  exec 3<>"/dev/tcp/${1%:*}/${1##*:}" || return
  printf 'GET %s HTTP/1.0\r\nHost: %s\r\n\r\n' "$2" "$1" >&3
  read -t 2 -r _ status _ <&3 && printf '%s' "$status"
}

# Whether something listens there.
listens() { # host:port
  (exec 3<>"/dev/tcp/${1%:*}/${1##*:}") 2>/dev/null
}
