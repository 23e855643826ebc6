//! Hands each key its value, and gathers what is wrong.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
};

use super::{Origin, Problem, Raw, Settings, Sources, Value, Wrong, layers::gather};

/// What the layers say: the last value of each `section.key`, and where it is from.
pub(super) type Entries = BTreeMap<String, (Raw, Origin)>;

/// A key with its value, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// `section.key`.
    pub key: String,
    /// The value as a file would have it; secrets masked.
    pub value: String,
    /// Where it came from.
    pub origin: Origin,
}

/// Gives sections their values and takes what is wrong with them.
#[derive(Debug)]
pub struct Reader {
    entries: Entries,
    problems: Vec<Problem>,
    resolved: Vec<Resolved>,
    /// Keys that something was said about already.
    told: BTreeSet<String>,
}

impl Reader {
    pub(super) fn new(entries: Entries, problems: Vec<Problem>) -> Self {
        let told = problems.iter().map(|problem| problem.key.clone()).collect();
        Self { entries, problems, resolved: Vec::new(), told }
    }

    /// What a service's default file alone says.
    #[must_use]
    pub fn of_defaults<S: Settings>() -> Self {
        let (entries, problems) = gather(S::DEFAULTS, S::SERVICE, &Sources::default(), &S::keys(), &[]);
        Self::new(entries, problems)
    }

    pub(super) fn finish(self) -> (Vec<Resolved>, Vec<Problem>) {
        (self.resolved, self.problems)
    }

    /// The value of a key; `default`, and a problem, if it is none of its kind.
    pub fn take<T: Value>(&mut self, section: &str, name: &str, default: T) -> T {
        let key = format!("{section}.{name}");
        let Some((raw, origin)) = self.entries.get(&key).cloned() else { return default };
        let value = match T::read(&raw) {
            Ok(value) => value,
            Err(wrong) => {
                let message = match wrong {
                    Wrong::Because(reason) => reason,
                    Wrong::Kind if T::SECRET => format!("expected {}", T::expected()),
                    Wrong::Kind => format!("expected {}, found {raw}", T::expected()),
                };
                self.tell(Some(origin.clone()), key.clone(), message, None);
                default
            }
        };
        self.resolved.push(Resolved { key, value: value.show(), origin });
        value
    }

    /// The value of a key that has bounds.
    pub fn take_within<T: Value + PartialOrd>(
        &mut self,
        section: &str,
        name: &str,
        default: T,
        bounds: &RangeInclusive<T>,
    ) -> T {
        let value = self.take(section, name, default.clone());
        if bounds.contains(&value) {
            return value;
        }
        let message = format!(
            "{} is out of bounds: expected {} to {}",
            value.show(),
            bounds.start().show(),
            bounds.end().show()
        );
        self.wrong(section, name, message, None);
        default
    }

    /// A key that has to be set was not.
    pub fn missing(&mut self, section: &str, name: &str, expected: &str) {
        let variable = variable(section, name);
        let help = format!("set `{name}` under [{section}], {variable}, or --set {section}.{name}=…");
        self.tell(None, format!("{section}.{name}"), format!("is not set: expected {expected}"), Some(help));
    }

    /// A key's value does not go with the others, or is not possible.
    pub fn wrong(&mut self, section: &str, name: &str, message: String, help: Option<String>) {
        let key = format!("{section}.{name}");
        let origin = self.entries.get(&key).map(|(_, origin)| origin.clone());
        self.tell(origin, key, message, help);
    }

    /// One mistake a key: what follows from the first would only hide it.
    fn tell(&mut self, origin: Option<Origin>, key: String, message: String, help: Option<String>) {
        if self.told.insert(key.clone()) {
            self.problems.push(Problem { origin, key, message, help });
        }
    }
}

/// The variable of the environment that sets a key.
pub(super) fn variable(section: &str, name: &str) -> String {
    format!("SHIPWAY_{}__{}", section.to_ascii_uppercase(), name.to_ascii_uppercase())
}
