//! The rows of the test plan that have tests, and which of them are only in `scripts/test --full`.

/// A row of the test plan. Its tests are named `row_<id>_…`: `row_l_1_…` for L-1.
#[derive(Debug)]
pub(crate) struct Row {
    id: &'static str,
    /// Part of it is long and only run with `--full` or `--row`.
    full: &'static str,
    what: &'static str,
}

const ROWS: &[Row] = &[
    row("L-1", "10,000,000 appends", "tailing readers miss nothing: positions are gapless in commit order"),
    row("L-2", "", "an append is there as a whole or not at all, over kills"),
    row("L-3", "", "a command id is applied once and answered the same again"),
    row("L-4", "", "expected versions: one of two writers wins, over one and several streams"),
    row("L-11", "", "read models rebuild byte-equal"),
    row("L-13", "", "the hash chain finds one changed byte and names it"),
    row("L-14", "", "a full disk refuses cleanly and leaves nothing half done"),
    row("L-15", "", "backup while runs go, restore into an empty folder, nothing twice"),
    row("L-17", "", "old events are read for ever"),
    row("E-7", "50 process trees", "an executor killed with children leaves no stale process"),
    row("E-9", "4,000 cases", "effect classes over crashes: exactly once, or unknown and said so"),
    row("E-10", "1,000 runs", "abort at random times: dead in time, one terminal state, `always` ran"),
    row("E-16", "200,000 seeds", "deterministic simulation with random faults"),
    row("E-17", "", "the same seed twice gives the same trace"),
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
    let head = format!("{:<5} {:<20} {}\n", "ROW", "ONLY IN --full", "WHAT");
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
