//! What a run has otherwise than its flow's document says: fields of nodes and triggers, and what is released.

use serde_json::{Map, Value, json};

use super::{Failure, flags::pair};

/// Arguments of whatever starts a run, or plans one.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Otherwise {
    /// Another value for a field of a node's `spec` or of a trigger, for this run only: `build.sha=9c1e…`,
    /// `migrate.command=…`; may be given several times. What is JSON is meant so.
    #[arg(long, value_name = "REF.FIELD=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
    /// Releases something else to a service or job, for this run only: `web=build:web-build/b-42`,
    /// `web=image:ghcr.io/team/web:1.4`, `web=from:web-staging`, or what a `Release` has as JSON: `web={"type": …}`.
    #[arg(long, value_name = "TARGET=WHAT", value_parser = pair)]
    release: Vec<(String, String)>,
}

impl Otherwise {
    /// As requests have it: the fields, and the releases; empty for none.
    pub(crate) fn json(&self) -> Result<(String, String), Failure> {
        let mut fields: Map<String, Value> = Map::new();
        for (place, value) in &self.set {
            let (reference, field) = place
                .split_once('.')
                .filter(|(reference, field)| !reference.is_empty() && !field.is_empty())
                .ok_or_else(|| {
                    Failure::usage(format!("`{place}` names no field"))
                        .help("as in --set build.sha=9c1e0f2: the node or trigger, and the field")
                })?;
            let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.clone()));
            let of = fields.entry(reference).or_insert_with(|| json!({}));
            of[field.replace('.', "/")] = value;
        }
        let mut releases = Map::new();
        for (target, what) in &self.release {
            releases.insert(target.clone(), release(what)?);
        }
        let text = |map: Map<String, Value>| match map.is_empty() {
            true => String::new(),
            false => Value::Object(map).to_string(),
        };
        Ok((text(fields), text(releases)))
    }

    /// The same words again, for a hint.
    pub(crate) fn words(&self) -> String {
        let word = |flag: &str, all: &[(String, String)]| {
            all.iter().map(|(key, value)| format!(" --{flag} '{key}={value}'")).collect::<String>()
        };
        word("set", &self.set) + &word("release", &self.release)
    }
}

fn release(what: &str) -> Result<Value, Failure> {
    if what.starts_with('{') {
        return serde_json::from_str(what)
            .map_err(|error| Failure::usage(format!("--release: `{what}` is no JSON: {error}")));
    }
    let found = match what.split_once(':') {
        Some(("image", image)) if !image.is_empty() => {
            Some(json!({"type": "registry", "origin": {"imagePath": image}}))
        }
        Some(("from", member)) if !member.is_empty() => {
            Some(json!({"type": "deployment", "origin": {"id": member, "type": "service"}}))
        }
        Some(("build", build)) => build
            .split_once('/')
            .map(|(service, build)| json!({"type": "build", "origin": {"id": service, "build": build}})),
        _ => None,
    };
    found.ok_or_else(|| {
        Failure::usage(format!("--release: `{what}` says nothing that can be released"))
            .help("build:<build service>/<build>, image:<image>, from:<service of the stage before>, or JSON")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(set: &[&str], release: &[&str]) -> Otherwise {
        let pairs = |all: &[&str]| all.iter().map(|text| pair(text).unwrap()).collect();
        Otherwise { set: pairs(set), release: pairs(release) }
    }

    #[test]
    fn fields_are_grouped_by_what_they_are_of_and_json_is_meant_so() {
        let otherwise = given(&["web.origin.build=b-42", "push.sha=9c1e", "web.replicas=2"], &[]);
        let (fields, releases) = otherwise.json().unwrap();
        let fields: Value = serde_json::from_str(&fields).unwrap();
        assert_eq!(fields, json!({"web": {"origin/build": "b-42", "replicas": 2}, "push": {"sha": "9c1e"}}));
        assert_eq!(releases, "");
        assert_eq!(
            otherwise.words(),
            " --set 'web.origin.build=b-42' --set 'push.sha=9c1e' --set 'web.replicas=2'"
        );
    }

    #[test]
    fn releases_have_short_forms() {
        let (_, releases) = given(
            &[],
            &[
                "web=build:web-build/latest",
                "api=image:ghcr.io/team/api:1.4",
                "job=from:job-staging",
                r#"x={"type":"registry"}"#,
            ],
        )
        .json()
        .unwrap();
        let releases: Value = serde_json::from_str(&releases).unwrap();
        let build = json!({"type": "build", "origin": {"id": "web-build", "build": "latest"}});
        assert_eq!(releases["web"], build);
        assert_eq!(releases["api"]["origin"]["imagePath"], "ghcr.io/team/api:1.4");
        assert_eq!(releases["job"]["origin"]["id"], "job-staging");
        assert_eq!(releases["x"], json!({"type": "registry"}));
    }

    #[test]
    fn what_says_nothing_is_refused_with_what_would() {
        assert!(given(&["web=2"], &[]).json().unwrap_err().to_string().contains("names no field"));
        for what in ["web=1.4", "web=build:b-42", "web=image:", "web={"] {
            assert!(given(&[], &[what]).json().is_err(), "{what}");
        }
    }
}
