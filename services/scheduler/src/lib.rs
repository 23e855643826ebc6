//! Admission, runs, timers, assignment, run queries and watches.
