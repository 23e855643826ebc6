-- Posts 300 bytes of JSON, as W5 does, and prints the figures of W5.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"ref":"refs/heads/main","pad":"' .. string.rep("x", 264) .. '"}'

local line = '{"peer":"restate send","metric":"%s","stat":"%s","value":%.3f,"unit":"%s"}\n'

function done(summary, latency, _)
  local failed = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout +
    summary.errors.status
  local accepted = (summary.requests - failed) / (summary.duration / 1e6)
  io.write(line:format("W5.accepts_per_s", "mean", accepted, "accepts/s"))
  io.write(line:format("W5.p99", "p99", latency:percentile(99) / 1000, "ms"))
end
