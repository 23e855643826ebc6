//! Settings of a service: typed sections, read from layers, all mistakes told at once.
//!
//! A key's value comes from the last layer that names it: the service's commented default file, the operator's file,
//! the environment (`SHIPWAY_<SECTION>__<KEY>`), `--set section.key=value`. A secret may be kept in a file of its own:
//! `<key>_file` in a file or a flag, `SHIPWAY_<SECTION>__<KEY>_FILE` in the environment.
//!
//! * [`Value`]: what a key may hold. [`crate::keys!`]: a section's keys with types, defaults and bounds.
//! * [`Section`]: what its keys must be together. [`crate::sections!`]: the sections of one service.
//! * [`load`]: the layers, read and checked. The sections that services share are in [`section`].

mod kinds;
mod layers;
mod problem;
mod raw;
mod reader;
pub mod section;
mod value;

pub use kinds::{BlobsUrl, Filter, HttpUrl, Label, NatsUrl, Secret, Size};
pub use layers::Sources;
pub use problem::{Problem, Problems};
pub use raw::{Origin, Raw};
pub use reader::{Reader, Resolved};
pub use value::{Value, Wrong};

/// A key that settings may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Its section.
    pub section: &'static str,
    /// Its name in the section.
    pub name: &'static str,
    /// Whether it holds a secret: never shown, and `<name>_file` may name a file that holds it.
    pub secret: bool,
}

/// The keys of a section; made by [`crate::keys!`].
pub trait Keys: Sized + Default {
    /// The section's name.
    const NAME: &'static str;

    /// All keys, in the order of the default file.
    fn keys() -> Vec<Key>;

    /// Takes the keys' values. One that is wrong is told to the reader, and its default is taken.
    fn read(reader: &mut Reader) -> Self;
}

/// A section: its keys, and what must hold between them.
pub trait Section: Keys {
    /// Tells the reader what is wrong with values that are right each by itself.
    fn check(&self, _reader: &mut Reader) {}
}

/// The settings of one service; made by [`crate::sections!`].
pub trait Settings: Sized + Default {
    /// The service's name.
    const SERVICE: &'static str;
    /// Its default file: every key, with its meaning and its default.
    const DEFAULTS: &'static str;

    /// All keys, in the order of the default file.
    fn keys() -> Vec<Key>;

    /// Reads and checks every section.
    fn read(reader: &mut Reader) -> Self;
}

/// Settings that hold, and where each value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded<S> {
    /// The settings.
    pub settings: S,
    /// Every key with its value (secrets masked) and its origin, in the order of the default file.
    pub resolved: Vec<Resolved>,
}

/// Reads the settings of a service. `others` are the keys of all services: a file or an environment that several
/// services share may name them.
///
/// # Errors
/// Everything that is wrong, in the order of the layers.
pub fn load<S: Settings>(sources: &Sources, others: &[Key]) -> Result<Loaded<S>, Problems> {
    let own = S::keys();
    let (entries, problems) = layers::gather(S::DEFAULTS, S::SERVICE, sources, &own, others);
    let mut reader = Reader::new(entries, problems);
    let settings = S::read(&mut reader);
    let (resolved, problems) = reader.finish();
    if problems.is_empty() { Ok(Loaded { settings, resolved }) } else { Err(Problems(problems)) }
}

/// Declares a section: a struct of public fields, each with its default and, after `in`, the least and greatest value.
///
/// ```
/// use std::time::Duration;
/// shipway_service_kit::keys! {
///     /// How the kettle is watched.
///     pub struct Kettle in "kettle" {
///         /// How often it is looked at.
///         pub every: Duration = Duration::from_secs(5), in Duration::from_secs(1)..=Duration::from_secs(60);
///         /// Who is told.
///         pub names: Vec<String> = Vec::new();
///     }
/// }
/// impl shipway_service_kit::config::Section for Kettle {}
/// assert_eq!(Kettle::default().every.as_secs(), 5);
/// ```
#[macro_export]
macro_rules! keys {
    (
        $(#[$about:meta])*
        pub struct $name:ident in $section:literal {
            $( $(#[$doc:meta])* pub $key:ident: $kind:ty = $default:expr $(, in $range:expr)?; )*
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            $( $(#[$doc])* pub $key: $kind, )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $key: $default, )* }
            }
        }

        impl $crate::config::Keys for $name {
            const NAME: &'static str = $section;

            fn keys() -> Vec<$crate::config::Key> {
                vec![ $( $crate::config::Key {
                    section: $section,
                    name: stringify!($key),
                    secret: <$kind as $crate::config::Value>::SECRET,
                }, )* ]
            }

            fn read(reader: &mut $crate::config::Reader) -> Self {
                let default = Self::default();
                Self { $( $key: $crate::keys!(@read reader, $section, $key, default $(, $range)?), )* }
            }
        }
    };
    (@read $reader:ident, $section:literal, $key:ident, $default:ident) => {
        $reader.take($section, stringify!($key), $default.$key)
    };
    (@read $reader:ident, $section:literal, $key:ident, $default:ident, $range:expr) => {
        $reader.take_within($section, stringify!($key), $default.$key, &$range)
    };
}

/// Declares the settings of a service: its name, its default file and its sections.
#[macro_export]
macro_rules! sections {
    (
        $(#[$about:meta])*
        pub struct $name:ident for $service:literal, $defaults:expr, {
            $( $(#[$doc:meta])* pub $section:ident: $kind:ty, )*
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct $name {
            $( $(#[$doc])* pub $section: $kind, )*
        }

        impl $crate::config::Settings for $name {
            const SERVICE: &'static str = $service;
            const DEFAULTS: &'static str = $defaults;

            fn keys() -> Vec<$crate::config::Key> {
                let mut keys = Vec::new();
                $( keys.extend(<$kind as $crate::config::Keys>::keys()); )*
                keys
            }

            fn read(reader: &mut $crate::config::Reader) -> Self {
                let read = Self { $( $section: <$kind as $crate::config::Keys>::read(reader), )* };
                $( $crate::config::Section::check(&read.$section, reader); )*
                read
            }
        }
    };
}
