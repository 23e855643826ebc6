//! Named points at which a test makes a process die, a call fail, or time pass: at every append, publish, assignment,
//! beat, start of an attempt and completion. Only builds with the feature `failpoints` have them; in all others the
//! macros are the call alone.
//!
//! * [`failing!`](crate::failing) is a call with a point before it and one after it: a failure before it is one that
//!   did nothing, a failure after it one whose answer was lost.
//! * [`failpoint!`](crate::failpoint) is a single point, where there is no call that could fail.
//!
//! A process is armed through its environment, and says what it passed in a file:
//!
//! * `SHIPWAY_FAILPOINTS=<name>=<abort|error|delay>[@<nth>]`, several with `;` between: the point fires once, at its
//!   nth pass. A name that ends with `*` stands for all that begin like it, counted together.
//! * `SHIPWAY_FAILPOINTS_NOTE=<file>`: gets a line `<name>` for each of the first passes of each point, and
//!   `<name> fired` before a point does what it was armed for.
//!
//! All points are in [`list`](self::CALLS), which `xtask tidy` compares with the sources.

#[cfg(feature = "failpoints")]
mod armed;
mod list;

#[cfg(feature = "failpoints")]
pub use armed::{Injected, fail, pass, pass_blocking};
pub use list::{CALLS, SINGLE};

/// What says which points are armed.
pub const ARMED: &str = "SHIPWAY_FAILPOINTS";

/// What says where passes are noted.
pub const NOTE: &str = "SHIPWAY_FAILPOINTS_NOTE";

/// How many passes of each point a process notes.
pub const NOTED: u64 = 3;

/// The names of all points.
pub fn all() -> impl Iterator<Item = String> {
    let sides = CALLS.iter().flat_map(|call| [format!("{call}.before"), format!("{call}.after")]);
    sides.chain(SINGLE.iter().map(|name| (*name).to_owned()))
}

/// A fallible call, written with its `.await`, between two points: `<name>.before` and `<name>.after`. A point that is
/// armed to fail fails as the call does: the error is made from [`Injected`](crate::failpoints::Injected), by `From` or
/// by the function in the middle.
#[cfg(feature = "failpoints")]
#[macro_export]
macro_rules! failing {
    ($name:literal, $call:expr) => {
        $crate::failing!($name, ::core::convert::From::from, $call)
    };
    ($name:literal, $error:expr, $call:expr) => {
        match $crate::failpoints::pass(concat!($name, ".before")).await {
            Err(injected) => Err($crate::failpoints::fail(injected, $error)),
            Ok(()) => match $call {
                Err(error) => Err(error),
                Ok(done) => match $crate::failpoints::pass(concat!($name, ".after")).await {
                    Err(injected) => Err($crate::failpoints::fail(injected, $error)),
                    Ok(()) => Ok(done),
                },
            },
        }
    };
}

/// A fallible call that may fail in builds with the feature `failpoints`; here it is the call alone.
#[cfg(not(feature = "failpoints"))]
#[macro_export]
macro_rules! failing {
    ($name:literal, $call:expr) => {
        $call
    };
    ($name:literal, $error:expr, $call:expr) => {
        $call
    };
}

/// A point on the way of an async function; armed to fail, it does what is given, or nothing. With `blocking` before the
/// name it is one of a function that is not async.
#[cfg(feature = "failpoints")]
#[macro_export]
macro_rules! failpoint {
    (blocking $name:literal, $failed:expr) => {
        if $crate::failpoints::pass_blocking($name).is_err() {
            $failed
        }
    };
    (blocking $name:literal) => {
        $crate::failpoint!(blocking $name, {})
    };
    ($name:literal, $failed:expr) => {
        if $crate::failpoints::pass($name).await.is_err() {
            $failed
        }
    };
    ($name:literal) => {
        $crate::failpoint!($name, {})
    };
}

/// A point that only builds with the feature `failpoints` have; here it is nothing.
#[cfg(not(feature = "failpoints"))]
#[macro_export]
macro_rules! failpoint {
    ($($anything:tt)*) => {};
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_point_is_listed_twice_and_the_plan_has_its_number() {
        let names: Vec<String> = all().collect();
        let once: BTreeSet<&String> = names.iter().collect();
        assert_eq!(once.len(), names.len());
        assert!(names.len() >= 120, "{} points", names.len());
    }
}
