//! What the points of this process are armed for.

use std::{
    collections::HashMap,
    env,
    fs::File,
    io::{self, Write},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{ARMED, NOTE, NOTED};
use crate::{
    durable::DurableError,
    feed::HandleError,
    log::{AppendError, ReadError},
    views::ViewsError,
};

/// How much later a call is made that is armed for it.
const DELAY: Duration = Duration::from_secs(5);

/// The failure of a point that was armed to fail.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the failpoint {0} was armed to fail")]
pub struct Injected(&'static str);

/// Passes a point: dies, fails or waits there if it is armed for that and this is its time.
///
/// # Errors
/// [`Injected`] if it is armed to fail.
pub async fn pass(name: &'static str) -> Result<(), Injected> {
    match state().passed(name) {
        None => Ok(()),
        Some(Action::Delay) => {
            tokio::time::sleep(DELAY).await;
            Ok(())
        }
        Some(action) => action.now(name),
    }
}

/// The same where nothing can be awaited: a delay stops the thread.
///
/// # Errors
/// [`Injected`] if it is armed to fail.
pub fn pass_blocking(name: &'static str) -> Result<(), Injected> {
    match state().passed(name) {
        None => Ok(()),
        Some(action) => action.now(name),
    }
}

/// The error that a call fails with.
pub fn fail<E>(injected: Injected, with: impl FnOnce(Injected) -> E) -> E {
    with(injected)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Abort,
    Error,
    Delay,
}

impl Action {
    fn now(self, name: &'static str) -> Result<(), Injected> {
        match self {
            Self::Abort => std::process::abort(),
            Self::Error => Err(Injected(name)),
            Self::Delay => {
                std::thread::sleep(DELAY);
                Ok(())
            }
        }
    }
}

/// What one part of the environment variable says.
#[derive(Debug)]
struct Rule {
    /// A name, or with `*` at its end how names begin.
    pattern: String,
    action: Action,
    nth: u64,
    passes: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    rules: Vec<Rule>,
    note: Option<Note>,
}

#[derive(Debug)]
struct Note {
    file: File,
    passes: Mutex<HashMap<&'static str, u64>>,
}

fn state() -> &'static State {
    static STATE: OnceLock<State> = OnceLock::new();
    STATE.get_or_init(|| {
        let armed = env::var(ARMED).unwrap_or_default();
        let rules = armed.split(';').filter(|part| !part.is_empty());
        // What is armed wrongly would be a test that tests nothing.
        let rules = rules.map(|part| Rule::read(part).unwrap_or_else(|| panic!("{ARMED}: `{part}`")));
        let note = env::var_os(NOTE).map(|file| {
            let file = File::options().create(true).append(true).open(&file);
            Note { file: file.expect(NOTE), passes: Mutex::default() }
        });
        State { rules: rules.collect(), note }
    })
}

impl State {
    /// Notes a pass; what is to be done there, if this is the time.
    fn passed(&self, name: &'static str) -> Option<Action> {
        if let Some(note) = &self.note {
            note.passed(name);
        }
        let mut due = None;
        for rule in self.rules.iter().filter(|rule| rule.is_for(name)) {
            if rule.passes.fetch_add(1, Ordering::Relaxed) + 1 == rule.nth {
                due = due.or(Some(rule.action));
            }
        }
        if let (Some(action), Some(note)) = (due, &self.note) {
            tracing::warn!(name, ?action, "a failpoint fires");
            note.write(&format!("{name} fired\n"));
        }
        due
    }
}

impl Rule {
    fn read(text: &str) -> Option<Self> {
        let (pattern, action) = text.split_once('=')?;
        let (action, nth) = action.split_once('@').unwrap_or((action, "1"));
        let action = match action {
            "abort" => Action::Abort,
            "error" => Action::Error,
            "delay" => Action::Delay,
            _ => return None,
        };
        let (pattern, nth) = (pattern.to_owned(), nth.parse().ok()?);
        Some(Self { pattern, action, nth, passes: AtomicU64::new(0) })
    }

    fn is_for(&self, name: &str) -> bool {
        match self.pattern.strip_suffix('*') {
            Some(begin) => name.starts_with(begin),
            None => self.pattern == name,
        }
    }
}

impl Note {
    fn passed(&self, name: &'static str) {
        let mut passes = self.passes.lock().unwrap_or_else(PoisonError::into_inner);
        let passes = passes.entry(name).or_default();
        *passes += 1;
        if *passes <= NOTED {
            self.write(&format!("{name}\n"));
        }
    }

    /// One write, so that the lines of several threads stay whole.
    fn write(&self, line: &str) {
        (&self.file).write_all(line.as_bytes()).expect(NOTE);
    }
}

/// For errors that are made from a text.
impl From<Injected> for String {
    fn from(injected: Injected) -> Self {
        injected.to_string()
    }
}

impl From<Injected> for HandleError {
    fn from(injected: Injected) -> Self {
        Self::retry(injected)
    }
}

impl From<Injected> for io::Error {
    fn from(injected: Injected) -> Self {
        Self::new(io::ErrorKind::ConnectionReset, injected)
    }
}

/// As when the connection is cut.
impl From<Injected> for sqlx::Error {
    fn from(injected: Injected) -> Self {
        Self::Io(injected.into())
    }
}

impl From<Injected> for DurableError {
    fn from(injected: Injected) -> Self {
        Self::Database { attempting: "passing a failpoint", source: Arc::new(injected.into()) }
    }
}

impl From<Injected> for ViewsError {
    fn from(injected: Injected) -> Self {
        Self::Database { attempting: "passing a failpoint", source: injected.into() }
    }
}

impl From<Injected> for ReadError {
    fn from(injected: Injected) -> Self {
        Self::Unavailable { attempting: "passing a failpoint", source: injected.into() }
    }
}

impl From<Injected> for AppendError {
    fn from(injected: Injected) -> Self {
        Self::Unavailable { attempting: "passing a failpoint", source: injected.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(armed: &str) -> State {
        State { rules: armed.split(';').map(|part| Rule::read(part).unwrap()).collect(), note: None }
    }

    #[test]
    fn a_point_fires_once_at_its_pass() {
        let state = state("a.before=error@2");
        let fired: Vec<_> = (0..4).map(|_| state.passed("a.before")).collect();
        assert_eq!(fired, [None, Some(Action::Error), None, None]);
        assert_eq!(state.passed("a.after"), None);
    }

    #[test]
    fn names_that_begin_alike_are_counted_together() {
        let state = state("db.*=abort@3;x=delay");
        assert_eq!(
            ["db.a", "x", "db.b", "y"].map(|name| state.passed(name)),
            [None, Some(Action::Delay), None, None]
        );
        assert_eq!(state.passed("db.a"), Some(Action::Abort));
    }

    #[test]
    fn what_is_armed_wrongly_is_not_read() {
        assert!(["a", "a=b", "a=error@", "a=error@x"].iter().all(|text| Rule::read(text).is_none()));
    }
}
