//! Settings: layers, checks, and what is said about mistakes.
//!
//! `golden/<name>.toml` is a file of settings; `<name>.txt` beside it is what is said about it. Lines that begin with
//! `#! ` are the rest of the case: `#! NAME=value` a variable of the environment, `#! --set x.y=z` a flag.
//! `UPDATE_GOLDEN=1` writes the reports anew, to be read before they are kept.

use std::{env, fs, path::Path, time::Duration};

use shipway_service_kit::config::{
    Key, Label, Loaded, Origin, Problems, Raw, Secret, Section, Size, Sources, Value, load, section,
};

shipway_service_kit::keys! {
    /// Kinds that the shared sections do not have.
    pub struct Limits in "limits" {
        /// Words.
        pub labels: Vec<Label> = Vec::new();
        /// Bytes.
        pub size: Size = Size(1 << 20), in Size(1 << 10)..=Size(1 << 30);
        /// A place.
        pub folder: std::path::PathBuf = "/var/lib/shipway".into();
    }
}

impl Section for Limits {}

shipway_service_kit::sections! {
    /// A service with every shared section.
    pub struct Settings for "probe", include_str!("default.toml"), {
        /// Port.
        pub server: section::Server,
        /// Database.
        pub database: section::Database,
        /// NATS.
        pub nats: section::Nats,
        /// Blobs.
        pub blobs: section::Blobs,
        /// Services.
        pub shipway: section::Shipway,
        /// Telemetry.
        pub telemetry: section::Telemetry,
        /// More kinds.
        pub limits: Limits,
    }
}

const OTHERS: &[Key] = &[
    Key { section: "executor", name: "heavy_slots", secret: false },
    Key { section: "server", name: "colour", secret: false },
];

fn read(sources: &Sources) -> Result<Loaded<Settings>, Problems> {
    load(sources, OTHERS)
}

/// What has to be set, as flags, and more of them.
fn good(more: &[&str]) -> Sources {
    let flags =
        ["database.url=postgres://ship:s3cret@db/shipway", "blobs.url=s3://x", "shipway.urls=http://x:1"];
    Sources { flags: flags.iter().chain(more).map(ToString::to_string).collect(), ..Sources::default() }
}

#[test]
fn broken_settings_are_explained() {
    let folder = Path::new("tests/config/golden");
    let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    names.sort();
    assert!(names.len() > 10, "golden settings are missing");
    let mut wrong = Vec::new();
    for path in names {
        let text = fs::read_to_string(&path).unwrap();
        let mut sources = Sources { file: Some(path.clone()), ..Sources::default() };
        for line in text.lines().filter_map(|line| line.strip_prefix("#! ")) {
            match (line.strip_prefix("--set "), line.split_once('=')) {
                (Some(flag), _) => sources.flags.push(flag.to_owned()),
                (None, Some((name, value))) => sources.environment.push((name.to_owned(), value.to_owned())),
                (None, None) => panic!("{}: {line}", path.display()),
            }
        }
        let report = match read(&sources) {
            Ok(_) => "they hold\n".to_owned(),
            Err(problems) => format!("{problems}\n"),
        };
        assert!(!report.contains("s3cret"), "{}: a secret is shown", path.display());
        let expected = path.with_extension("txt");
        if env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&expected, &report).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != report {
            wrong.push(format!("{}:\n{report}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_last_layer_has_its_say_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("probe.toml");
    fs::write(&file, "[server]\ndrain = \"1s\"\nlisten = \"127.0.0.1:1\"\nready_lag = 5\n").unwrap();
    let mut sources = good(&["server.ready_lag=7"]);
    sources.file = Some(file.clone());
    sources.environment = vec![
        ("SHIPWAY_SERVER__LISTEN".to_owned(), "127.0.0.1:2".to_owned()),
        ("SHIPWAY_SERVER__READY_LAG".to_owned(), "6".to_owned()),
        ("SHIPWAY_DATA".to_owned(), "is no setting".to_owned()),
    ];
    let loaded = read(&sources).unwrap();
    assert_eq!(loaded.settings.server.drain, Duration::from_secs(1));
    assert_eq!(loaded.settings.server.listen.port(), 2);
    assert_eq!(loaded.settings.server.ready_lag, 7);
    let from = |key: &str| loaded.resolved.iter().find(|found| found.key == key).unwrap().origin.clone();
    assert_eq!(from("server.drain"), Origin::File { path: file, line: 2 });
    assert_eq!(from("server.listen"), Origin::Variable("SHIPWAY_SERVER__LISTEN".to_owned()));
    assert_eq!(from("server.ready_lag"), Origin::Flag("server.ready_lag".to_owned()));
    assert!(
        matches!(from("telemetry.json"), Origin::Default { line: 38, .. }),
        "{:?}",
        from("telemetry.json")
    );
}

#[test]
fn a_secret_may_be_in_a_file_and_is_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("url");
    fs::write(&file, "postgres://ship:s3cret@db:5432/shipway?sslkey=s3cret\n").unwrap();
    let mut sources = good(&[]);
    sources.flags.remove(0);
    sources.environment = vec![("SHIPWAY_DATABASE__URL_FILE".to_owned(), file.display().to_string())];
    let loaded = read(&sources).unwrap();
    assert_eq!(loaded.settings.database.url.expose(), "postgres://ship:s3cret@db:5432/shipway?sslkey=s3cret");
    let shown = format!("{loaded:?}");
    assert!(!shown.contains("s3cret"), "{shown}");
    let url = loaded.resolved.iter().find(|key| key.key == "database.url").unwrap();
    assert_eq!(url.value, "\"postgres://ship:***@db:5432/shipway\"");
}

#[test]
fn secrets_are_masked_however_they_are_written() {
    for (text, shown) in [
        ("", ""),
        ("s3cret", "***"),
        ("postgres://db/shipway", "postgres://db/shipway"),
        ("postgres://ship@db/shipway", "postgres://ship@db/shipway"),
        ("postgres://ship:s3cret@db", "postgres://ship:***@db"),
        ("postgres://ship:s3cret@s3cret@db/x", "postgres://ship:***@db/x"),
        ("postgres://ship:s3cret/s3cret@db/x", "postgres://***"),
        ("postgres://db/x?password=s3cret", "postgres://db/x"),
        ("nats://s3cret-token:@host:4222", "nats://s3cret-token:***@host:4222"),
    ] {
        assert_eq!(Secret::new(text).masked(), shown, "{text}");
    }
}

#[test]
fn what_is_shown_is_read_again_as_the_same() {
    fn same<T: Value + PartialEq + std::fmt::Debug>(values: &[&str]) {
        for text in values {
            let value = T::read(&Raw::Word((*text).to_owned())).unwrap();
            let shown: toml::Table = format!("x = {}", value.show()).parse().unwrap();
            let raw = match &shown["x"] {
                toml::Value::String(text) => Raw::Text(text.clone()),
                toml::Value::Integer(number) => Raw::Number(*number),
                toml::Value::Boolean(on) => Raw::Switch(*on),
                toml::Value::Array(list) => {
                    Raw::List(list.iter().map(|part| Raw::Text(part.as_str().unwrap().to_owned())).collect())
                }
                other => panic!("{other}"),
            };
            assert_eq!(T::read(&raw).unwrap(), value, "{text}");
        }
    }
    same::<Duration>(&["0s", "1500ms", "90s", "36h", "90d", "1ms"]);
    same::<Size>(&["0B", "1023B", "1KiB", "1536KiB", "2GiB"]);
    same::<String>(&["", "a \"b\" \\ \u{1} ä"]);
    same::<Vec<Label>>(&["", "gpu", "gpu, zone=west"]);
    same::<u16>(&["0", "65535"]);
    same::<bool>(&["true", "false"]);
    same::<std::net::SocketAddr>(&["[::1]:7400"]);
}
