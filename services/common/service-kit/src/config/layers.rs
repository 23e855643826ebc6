//! The layers: default file, operator's file, environment, flags. The last that names a key has its say.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    Key, Origin, Problem, Raw,
    reader::{Entries, variable},
};

/// Where settings are looked for, besides the default file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// The operator's file.
    pub file: Option<PathBuf>,
    /// The variables of the environment; those with `SHIPWAY_` and `__` in their names count.
    pub environment: Vec<(String, String)>,
    /// What `--set` was given: `section.key=value`.
    pub flags: Vec<String>,
}

impl Sources {
    /// A file and flags, over the environment of this process.
    #[must_use]
    pub fn of_process(file: Option<PathBuf>, flags: Vec<String>) -> Self {
        let text = |name: std::ffi::OsString| name.to_string_lossy().into_owned();
        let environment = std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect();
        Self { file, environment, flags }
    }
}

/// Reads all layers. What a name of another service says is left out; what nobody knows is a problem.
pub(super) fn gather(
    defaults: &str,
    service: &'static str,
    sources: &Sources,
    own: &[Key],
    others: &[Key],
) -> (Entries, Vec<Problem>) {
    let mut layers = Layers { own, others, entries: Entries::new(), problems: Vec::new() };
    layers.document(defaults, &|line| Origin::Default { service, line });
    if let Some(path) = &sources.file {
        layers.file(path);
    }
    layers.environment(&sources.environment);
    layers.flags(&sources.flags);
    (layers.entries, layers.problems)
}

struct Layers<'a> {
    own: &'a [Key],
    others: &'a [Key],
    entries: Entries,
    problems: Vec<Problem>,
}

/// What a layer says of one key.
struct Said {
    section: String,
    name: String,
    raw: Raw,
    origin: Origin,
}

impl Layers<'_> {
    fn file(&mut self, path: &Path) {
        match fs::read_to_string(path) {
            Ok(text) => self.document(&text, &|line| Origin::File { path: path.to_owned(), line }),
            Err(error) => self.problems.push(Problem {
                origin: None,
                key: String::new(),
                message: format!("the settings file {} cannot be read: {error}", path.display()),
                help: Some("name another with --config or SHIPWAY_CONFIG".to_owned()),
            }),
        }
    }

    fn document(&mut self, text: &str, origin: &dyn Fn(usize) -> Origin) {
        let line =
            |at: usize| text.as_bytes()[..at.min(text.len())].iter().filter(|b| **b == b'\n').count() + 1;
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            self.problems.push(Problem {
                origin: Some(origin(line(error.span().map_or(0, |span| span.start)))),
                key: String::new(),
                message: format!("this is not TOML: {}", error.message()),
                help: None,
            });
        }
        let mut said = Vec::new();
        for (section, value) in sorted(table.get_ref()) {
            let at = origin(line(section.span().start));
            let DeValue::Table(keys) = value.get_ref() else {
                self.problems.push(self.no_section(section.get_ref(), at));
                continue;
            };
            if !self.section_known(section.get_ref()) {
                self.problems.push(self.no_section(section.get_ref(), at));
                continue;
            }
            for (name, value) in sorted(keys) {
                said.push(Said {
                    section: section.get_ref().to_string(),
                    name: name.get_ref().to_string(),
                    raw: raw(value.get_ref()),
                    origin: origin(line(name.span().start)),
                });
            }
        }
        self.say(said);
    }

    fn environment(&mut self, variables: &[(String, String)]) {
        let mut variables: Vec<_> = variables.iter().collect();
        variables.sort();
        let mut said = Vec::new();
        for (name, value) in variables {
            let Some((section, key)) = name.strip_prefix("SHIPWAY_").and_then(|rest| rest.split_once("__"))
            else {
                continue;
            };
            said.push(Said {
                section: section.to_ascii_lowercase(),
                name: key.to_ascii_lowercase(),
                raw: Raw::Word(value.clone()),
                origin: Origin::Variable(name.clone()),
            });
        }
        self.say(said);
    }

    fn flags(&mut self, flags: &[String]) {
        let mut said = Vec::new();
        for flag in flags {
            let parts = flag.split_once('=').and_then(|(key, value)| Some((key.split_once('.')?, value)));
            let Some(((section, name), value)) = parts else {
                // What stands there may be a secret: only a name is repeated.
                let key = flag.split_once('=').map_or("…", |(key, _)| key);
                self.problems.push(Problem {
                    origin: Some(Origin::Flag(key.to_owned())),
                    key: String::new(),
                    message: "expected section.key=value, like --set server.listen=0.0.0.0:7400".to_owned(),
                    help: None,
                });
                continue;
            };
            said.push(Said {
                section: section.to_owned(),
                name: name.to_owned(),
                raw: Raw::Word(value.to_owned()),
                origin: Origin::Flag(format!("{section}.{name}")),
            });
        }
        self.say(said);
    }

    /// Takes what one layer says.
    fn say(&mut self, said: Vec<Said>) {
        let mut layer: BTreeMap<String, Origin> = BTreeMap::new();
        for Said { section, name, raw, origin } in said {
            let Some(key) = self.key(&section, &name) else {
                let secret = name.strip_suffix("_file").and_then(|name| self.key(&section, name));
                match secret.filter(|key| key.secret) {
                    Some(key) if self.own.contains(&key) => self.read_secret(key, &raw, origin, &mut layer),
                    Some(_) => {}
                    None => {
                        let problem = self.unknown(&section, &name, origin);
                        self.problems.push(problem);
                    }
                }
                continue;
            };
            if self.own.contains(&key) {
                self.enter(key, raw, origin, &mut layer);
            }
        }
    }

    /// The value of a secret that is in a file of its own.
    fn read_secret(&mut self, key: Key, raw: &Raw, origin: Origin, layer: &mut BTreeMap<String, Origin>) {
        let Some(path) = raw.text() else {
            self.problems.push(Problem {
                origin: Some(origin),
                key: format!("{}.{}_file", key.section, key.name),
                message: format!("expected the name of a file, found {raw}"),
                help: None,
            });
            return;
        };
        match fs::read_to_string(path) {
            Ok(text) => {
                let text = text.strip_suffix('\n').unwrap_or(&text);
                let text = text.strip_suffix('\r').unwrap_or(text);
                self.enter(key, Raw::Word(text.to_owned()), origin, layer);
            }
            Err(error) => self.problems.push(Problem {
                origin: Some(origin),
                key: format!("{}.{}", key.section, key.name),
                message: format!("the file {path} that holds it cannot be read: {error}"),
                help: None,
            }),
        }
    }

    fn enter(&mut self, key: Key, raw: Raw, origin: Origin, layer: &mut BTreeMap<String, Origin>) {
        let name = format!("{}.{}", key.section, key.name);
        // The same key twice is what a flag may do: the last counts. A secret beside its file is a mistake.
        if let Some(first) = layer.get(&name).filter(|first| !matches!(first, Origin::Flag(_))) {
            self.problems.push(Problem {
                origin: Some(origin),
                key: name,
                message: format!("it is set here and at {first}"),
                help: Some("leave one of them out".to_owned()),
            });
            return;
        }
        layer.insert(name.clone(), origin.clone());
        self.entries.insert(name, (raw, origin));
    }

    fn all(&self) -> impl Iterator<Item = &Key> {
        self.own.iter().chain(self.others)
    }

    fn key(&self, section: &str, name: &str) -> Option<Key> {
        self.all().find(|key| key.section == section && key.name == name).copied()
    }

    fn section_known(&self, section: &str) -> bool {
        self.all().any(|key| key.section == section)
    }

    fn no_section(&self, section: &str, origin: Origin) -> Problem {
        let own = self.own.iter().map(|key| key.section);
        let help = match self.own.iter().find(|key| key.name == section) {
            _ if self.section_known(section) => Some(format!("[{section}] stands on a line of its own")),
            Some(key) => Some(format!("`{section}` stands under [{}]", key.section)),
            None => nearest(section, own.clone()).map(|near| format!("did you mean [{near}]?")),
        };
        let mut sections: Vec<_> = own.collect();
        sections.dedup();
        let message = format!("there is no section of this name: expected {}", sections.join(", "));
        Problem { origin: Some(origin), key: section.to_owned(), message, help }
    }

    fn unknown(&self, section: &str, name: &str, origin: Origin) -> Problem {
        if !self.section_known(section) {
            return self.no_section(section, origin);
        }
        let names: Vec<_> = self.all().filter(|key| key.section == section).map(|key| key.name).collect();
        let near = match (&origin, nearest(name, names.iter().copied())) {
            (Origin::Variable(_), Some(near)) => Some(variable(section, near)),
            (_, near) => near.map(str::to_owned),
        };
        let elsewhere = self.own.iter().find(|key| key.name == name).map(|key| key.section);
        let help = match (near, elsewhere) {
            (Some(near), _) => Some(format!("did you mean `{near}`?")),
            (None, Some(section)) => Some(format!("`{name}` stands under [{section}]")),
            (None, None) => None,
        };
        let mut names = names;
        names.sort_unstable();
        names.dedup();
        let message = format!("there is no such key: [{section}] has {}", names.join(", "));
        Problem { origin: Some(origin), key: format!("{section}.{name}"), message, help }
    }
}

/// A table's entries in the order in which they were written.
fn sorted<'t, 'i>(
    table: &'t DeTable<'i>,
) -> Vec<(&'t Spanned<std::borrow::Cow<'i, str>>, &'t Spanned<DeValue<'i>>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    entries
}

fn raw(value: &DeValue<'_>) -> Raw {
    match value {
        DeValue::String(text) => Raw::Text(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Raw::Other("a number that is too large"), Raw::Number),
        DeValue::Boolean(on) => Raw::Switch(*on),
        DeValue::Array(list) => Raw::List(list.iter().map(|part| raw(part.get_ref())).collect()),
        DeValue::Float(_) => Raw::Other("a fraction"),
        DeValue::Datetime(_) => Raw::Other("a date"),
        DeValue::Table(_) => Raw::Other("a table"),
    }
}

/// The name that was most likely meant.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let tolerance = if name.len() < 5 { 1 } else { 3 };
    known
        .map(|candidate| {
            let part = name.len() > 2 && (candidate.starts_with(name) || name.starts_with(candidate));
            let edits = strsim::damerau_levenshtein(name, candidate);
            (if part { edits.min(1) } else { edits }, candidate)
        })
        .filter(|(edits, _)| *edits <= tolerance)
        .min()
        .map(|(_, candidate)| candidate)
}
