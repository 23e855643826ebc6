//! The rows of the test plan that have tests. All of them run in `scripts/test`; `--full` makes some longer, and
//! judges times and rates too.

/// A row of the test plan. Its tests are named `row_<id>_…`: `row_l_1_…` for L-1.
#[derive(Debug)]
pub(crate) struct Row {
    id: &'static str,
    /// The size that only `--full` has; times and rates are judged then.
    full: &'static str,
    what: &'static str,
}

const ROWS: &[Row] = &[
    row("L-1", "60 s of 16 writers", "no reader misses an event or sees one out of order"),
    row(
        "L-2",
        "100,000 tries",
        "64 writers on one stream: no version is given twice, losers learn it at once",
    ),
    row("L-3", "100,000 commands", "a command sent three times is applied once and answered the same"),
    row("L-4", "10,000 cases", "append, read and snapshot behave like a plain list"),
    row("L-5", "20 kills", "the database is killed under load: what was answered is there"),
    row("L-6", "200 kills", "a backend or client killed at each point of an append leaves no half batch"),
    row("L-7", "500 runs, 30 s", "the database goes away under running runs: no service ends, all runs do"),
    row("L-8", "healed in 30 s", "a full disk: nothing answered is lost, and it heals by itself"),
    row(
        "L-9",
        "40 requests, 30 syncs",
        "syncs fail: nothing is taken that is not on disk, by no service and no hook",
    ),
    row("L-10", "refused in 2 s", "a session that holds the log's head stops nobody for long"),
    row("L-11", "1,000 places", "whatever is changed in the log, `verify` finds and names it"),
    row("L-12", "", "the services' database role may append and nothing else"),
    row("L-13", "", "every version of every event is read"),
    row("L-14", "20,000 events/s", "a rebuilt read model is byte-equal to the live one"),
    row("L-15", "", "snapshots deleted, damaged or old: the same state, no error"),
    row(
        "L-16",
        "25,000 a partition",
        "partitions are archived under load: nothing missed, all still readable",
    ),
    row("L-17", "60 s of 16 clients", "appends per second, and no project starves another"),
    row("N-1", "300 runs", "the store of NATS wiped three times, under events and under runs: nothing lost"),
    row("N-2", "100 runs, 10 min", "NATS never there, then gone: all runs end"),
    row("N-3", "8,000 events later", "the store rolled back: nothing missed, and published again soon"),
    row("N-4", "", "messages rolled back but not the consumers: nobody passes over new ones, nor outside"),
    row("N-5", "", "the stream deleted, purged, made anew: nothing missed or swallowed"),
    row("N-6", "100 rounds", "bits flipped and files cut in the store: nothing missed, no wrong data taken"),
    row("N-7", "30 s", "a relay that was stopped comes back after another took over, and steps down"),
    row("N-8", "20,000 events", "two relays that both believe to lead, and a stranger: positions only rise"),
    row("N-9", "20,000 events", "messages lost, doubled and swapped on the way: each event once"),
    row(
        "N-10",
        "20 s",
        "the server stopped, and connections that carry nothing: progress, and back by itself",
    ),
    row("N-11", "200,000 events", "a burst while a consumer sleeps: nothing missed in bounded memory"),
    row("N-12", "", "streams and consumers that are not what they must be are refused by the setting's name"),
    row("N-13", "", "every event reaches its own subject, whatever the names"),
    row(
        "N-14",
        "a newer server is fetched",
        "the same on a newer server, if SHIPWAY_NATS_SERVER_NEW names one",
    ),
    row("N-15", "", "data of every size passes the relay or is refused at the append"),
    row(
        "E-1",
        "2,000 runs",
        "a service killed every few seconds: no effect of a run lost or doubled, none stuck",
    ),
    row(
        "E-2",
        "20,000 runs",
        "the same, and the database and NATS killed, and services stopped where they are: nor grows any",
    ),
    row(
        "E-3",
        "every point",
        "a process dies, fails or waits at each point of its work: nothing lost or doubled",
    ),
    row("E-4", "each call", "the n-th call of the database fails, for every n: everything converges"),
    row("E-5", "10 cases", "a zombie executor's outcome and effects are refused, and its processes die"),
    row(
        "E-6",
        "the real times",
        "a machine that is cut off ends its processes in time; one that dies has what it ran moved",
    ),
    row("E-7", "50 process trees", "an executor killed with children leaves no stale process"),
    row("E-8", "200 attempts", "attempts of a dead executor are begun again elsewhere"),
    row(
        "E-9",
        "216 with processes",
        "each effect class over each crash, 4,000 simulated: exactly once, or unknown and said so",
    ),
    row(
        "E-10",
        "1,000 runs",
        "aborted at any time: processes dead in time, also without NATS, one end, `always` nodes ran",
    ),
    row(
        "E-11",
        "200 rounds",
        "many triggers at once while schedulers die: each is one run, and each policy of lanes is kept",
    ),
    row(
        "E-12",
        "10,000 timers",
        "retries wait for their time in peace and while schedulers die, and come once",
    ),
    row(
        "E-13",
        "each service in turn",
        "clocks that are wrong, fast or set back: the database's alone decides",
    ),
    row("E-14", "", "schedules tick as they should in all zones, at both changes of clocks and after a stop"),
    row("E-15", "5 min", "all services stand still and go on in any order: nothing lost or doubled"),
    row("E-16", "200,000 seeds", "deterministic simulation with faults: every run ends"),
    row("E-17", "1,000 seeds", "the same seed twice gives the same trace"),
    row("E-18", "1,000 histories", "what clients see of runs is what one after the other could have seen"),
    row(
        "E-19",
        "500 runs",
        "an upgrade service by service, and the way back: nothing lost or stuck, all read",
    ),
    row("E-20", "100 stops", "services that are stopped under load lose nothing, and no request fails"),
    row("E-21", "1 GiB", "an output storm is capped and said so, and its executor stays small"),
    row("E-22", "30 min", "few descriptors, little memory, a busy processor: nobody is given up for it"),
    row("W-1", "", "each sender's payloads, real ones among them, become exactly what they should"),
    row("W-2", "", "each scheme's signatures pass, and nothing near them"),
    row("W-3", "2 x 200,000", "the time of a refusal does not tell how much of a signature was right"),
    row("W-4", "1,000,000 a target", "broken payloads and headers make no reader panic, wait or grow"),
    row("W-5", "25 MiB", "bodies too large, too deep, endless, compressed: the right code in bounded memory"),
    row("W-6", "2,000 sockets, 60 s", "slow clients are closed, and others do not notice"),
    row("W-7", "200/s for 5 min", "signed deliveries at a steady rate are answered soon"),
    row("W-8", "5,000 deliveries", "the receiver dies at each of its points: every 202 has its row and run"),
    row(
        "W-9",
        "",
        "deliveries that come again, and replays, start nothing; a real push forced back and forth does",
    ),
    row("W-10", "", "no name in a signed body, and no flag of it, decides what a fork may run"),
    row(
        "W-11",
        "2,000 in 10 min",
        "the database is away: deliveries wait on disk, each processed once, in order",
    ),
    row("W-12", "60 s", "a noisy hook is slowed down, a quiet one is not"),
    row("W-13", "5,000 deliveries", "a secret is switched under load: none refused, the old one retires"),
    row("W-14", "", "the time that is signed is exact to the second, in its one spelling"),
    row("W-15", "50 pushes", "pushes whose delivery never came are found by asking, one run each"),
    row(
        "R-1",
        "50 at once, 2 s",
        "who is killed and started again at once: runs go on soon, none loses a node",
    ),
    row("S-12", "", "hostile addresses, refs and commits: Git runs nothing and reads nowhere else"),
    row("S-17", "", "a credential is sent to its own host and to no other, over redirects neither"),
    row("H-1", "", "five pushes during a hold: every skipped candidate has its event, nothing is promoted"),
    row("I-1", "200 histories", "every figure of every stage equals a recount of the raw events"),
];

const fn row(id: &'static str, full: &'static str, what: &'static str) -> Row {
    Row { id, full, what }
}

impl Row {
    /// How the names of its tests begin.
    pub(crate) fn filter(&self) -> String {
        format!("row_{}_", self.id.to_lowercase().replace('-', "_"))
    }
}

/// The row of that id, in any case.
pub(crate) fn find(id: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.id.eq_ignore_ascii_case(id))
}

/// All rows for people.
pub(crate) fn table() -> String {
    let line = |row: &Row| {
        let full = if row.full.is_empty() { "-" } else { row.full };
        format!("{:<5} {:<20} {}\n", row.id, full, row.what)
    };
    let head = format!("{:<5} {:<20} {}\n", "ROW", "--full MAKES IT", "WHAT");
    std::iter::once(head).chain(ROWS.iter().map(line)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_names_its_tests() {
        assert_eq!(find("l-1").unwrap().filter(), "row_l_1_");
        assert_eq!(find("E-16").unwrap().filter(), "row_e_16_");
        assert!(find("X-1").is_none());
    }
}
