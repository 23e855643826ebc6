//! The settings of every service: what `serve` starts with and what `config` checks and shows.

use shipway_service_kit::config::{self, Key, Loaded, Problems, Resolved, Settings, Sources};

use super::super::args::{Given, Service};

/// Where the settings of this process are.
pub(crate) fn sources(given: &Given) -> Sources {
    Sources::of_process(given.config.clone(), given.set.clone())
}

/// The settings of a service.
///
/// # Errors
/// Everything that is wrong with them.
pub(crate) fn load<S: Settings>(sources: &Sources) -> Result<S, Problems> {
    loaded(sources).map(|loaded| loaded.settings)
}

/// Each key of a service with its value and its origin, for people.
///
/// # Errors
/// Everything that is wrong with the settings.
pub(crate) fn resolved(service: Service, sources: &Sources) -> Result<Vec<Resolved>, Problems> {
    fn of<S: Settings>(sources: &Sources) -> Result<Vec<Resolved>, Problems> {
        loaded::<S>(sources).map(|loaded| loaded.resolved)
    }
    match service {
        Service::Pipelines => of::<shipway_pipelines::Settings>(sources),
        Service::Triggers => of::<shipway_triggers::Settings>(sources),
        Service::Scheduler => of::<shipway_scheduler::Settings>(sources),
        Service::Executor => of::<shipway_executor::Settings>(sources),
        Service::Console => of::<shipway_console::Settings>(sources),
    }
}

/// A service's default file.
pub(crate) const fn defaults(service: Service) -> &'static str {
    match service {
        Service::Pipelines => shipway_pipelines::Settings::DEFAULTS,
        Service::Triggers => shipway_triggers::Settings::DEFAULTS,
        Service::Scheduler => shipway_scheduler::Settings::DEFAULTS,
        Service::Executor => shipway_executor::Settings::DEFAULTS,
        Service::Console => shipway_console::Settings::DEFAULTS,
    }
}

/// Several services may share a file or an environment, so each knows the names of all.
fn loaded<S: Settings>(sources: &Sources) -> Result<Loaded<S>, Problems> {
    config::load(sources, &all())
}

fn all() -> Vec<Key> {
    let mut keys = shipway_pipelines::Settings::keys();
    keys.extend(shipway_triggers::Settings::keys());
    keys.extend(shipway_scheduler::Settings::keys());
    keys.extend(shipway_executor::Settings::keys());
    keys.extend(shipway_console::Settings::keys());
    keys
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::ValueEnum;

    use super::*;

    fn default_file_agrees<S: Settings + PartialEq + std::fmt::Debug>() {
        let file: toml::Table = S::DEFAULTS.parse().unwrap();
        let written: BTreeSet<_> = file
            .iter()
            .flat_map(|(section, keys)| {
                keys.as_table().unwrap().keys().map(move |name| format!("{section}.{name}"))
            })
            .collect();
        let known: BTreeSet<_> =
            S::keys().iter().map(|key| format!("{}.{}", key.section, key.name)).collect();
        assert_eq!(written, known, "{}", S::SERVICE);

        // What has to be set is given; everything else is the default file's, and equal to the structure's.
        let flags = ["database.url=postgres://x/y", "blobs.url=s3://x", "shipway.urls=http://x:1"];
        let flags = flags.into_iter().filter(|flag| known.contains(flag.split('=').next().unwrap()));
        let sources = Sources { flags: flags.map(str::to_owned).collect(), ..Sources::default() };
        let loaded = loaded::<S>(&sources).unwrap();
        assert_eq!(loaded.resolved.len(), known.len(), "{}", S::SERVICE);
        let mut defaults = config::Reader::of_defaults::<S>();
        let read = S::read(&mut defaults);
        assert_eq!(read, S::default(), "{}", S::SERVICE);
    }

    #[test]
    fn every_default_file_names_every_key_with_its_default() {
        default_file_agrees::<shipway_pipelines::Settings>();
        default_file_agrees::<shipway_triggers::Settings>();
        default_file_agrees::<shipway_scheduler::Settings>();
        default_file_agrees::<shipway_executor::Settings>();
        default_file_agrees::<shipway_console::Settings>();
    }

    #[test]
    fn every_key_of_a_default_file_is_explained() {
        for service in Service::value_variants() {
            let mut explained = false;
            for line in defaults(*service).lines() {
                match line.chars().next() {
                    Some('#') => explained = true,
                    Some('[') => {}
                    // Two keys may share their explanation.
                    Some(_) => assert!(explained, "{service:?}: {line}"),
                    None => explained = false,
                }
                assert!(line.chars().count() <= 120, "{service:?}: {line}");
            }
        }
    }

    #[test]
    fn services_share_files_and_environments() {
        let environment = vec![("SHIPWAY_EXECUTOR__LABELS".to_owned(), "gpu, zone=west".to_owned())];
        let flags = vec![
            "database.url=postgres://x/y".to_owned(),
            "blobs.url=file:///x".to_owned(),
            "shipway.urls=http://x:1".to_owned(),
        ];
        let sources = Sources { file: None, environment, flags };
        load::<shipway_console::Settings>(&sources).unwrap();
        let executor = load::<shipway_executor::Settings>(&sources).unwrap().executor;
        let labels: Vec<_> = executor.labels.iter().map(config::Label::as_str).collect();
        assert_eq!(labels, ["gpu", "zone=west"]);
    }
}
