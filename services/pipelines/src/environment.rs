//! The environment that a service or job is pinned with: the addresses of the project's services, the secret
//! groups that apply to it, then its own.
//!
//! Pure. Values that hold a secret are marks (see `shipway_documents::secret`), never values.

use serde_json::{Map, Value, json};
use shipway_documents::{
    resources::{Protocol, ports},
    secret,
};
use shipway_events::{SecretRef, project::ResourceKind};

use crate::domain::{ProjectState, Resource};

/// Where addons answer: the process runtime keeps them on this machine.
const HOST: &str = "127.0.0.1";

/// The role that an addon's server has.
const USERNAME: &str = "shipway";

/// What a `keyName` of an addon dependency may be.
pub(crate) const ADDON_KEYS: [&str; 6] = ["POSTGRES_URI", "HOST", "PORT", "USERNAME", "PASSWORD", "DATABASE"];

/// The name of an addon's password among the secrets.
pub(crate) fn password_name(addon: &str) -> String {
    format!("addon/{addon}/password")
}

/// The environment of a resource: groups by rising priority (of equals, by name), then what it says itself. For
/// an addon, its server's credentials; for a secret group, what it hands on.
pub(crate) fn environment(state: &ProjectState, resource: &Resource) -> Map<String, Value> {
    let own = match resource.kind {
        ResourceKind::Addon => return credentials(resource),
        // A group that is meant for some resources only is not handed on by flows.
        ResourceKind::SecretGroup if is_restricted(resource) => return Map::new(),
        ResourceKind::SecretGroup => return group_values(state, resource),
        ResourceKind::BuildService => "/buildArguments",
        ResourceKind::DeploymentService
        | ResourceKind::CombinedService
        | ResourceKind::ManualJob
        | ResourceKind::CronJob => "/runtimeEnvironment",
    };
    let mut groups: Vec<&Resource> =
        state.resources.values().filter(|group| applies(group, resource)).collect();
    groups.sort_by_key(|group| priority(group));
    let mut environment =
        if resource.kind == ResourceKind::BuildService { Map::new() } else { addresses(state) };
    for group in groups {
        environment.extend(group_values(state, group));
    }
    if let Some(own) = resource.spec.pointer(own).and_then(Value::as_object) {
        environment.extend(own.clone());
    }
    environment
}

/// Where the project's services answer on this machine: `SHIPWAY_URL_SHOP_WEB` is the first HTTP port of `shop-web`.
fn addresses(state: &ProjectState) -> Map<String, Value> {
    let address = |service: &Resource| {
        let first = ports(&service.spec).into_iter().find(|port| port.protocol == Protocol::Http)?;
        let port = service.ports.get(&first.name)?;
        let name = service.slug.to_uppercase().replace('-', "_");
        Some((format!("SHIPWAY_URL_{name}"), format!("http://{HOST}:{port}").into()))
    };
    state.resources.values().filter_map(address).collect()
}

fn priority(group: &Resource) -> i64 {
    group.spec.get("priority").and_then(Value::as_i64).unwrap_or(0)
}

/// Whether the group is meant for the resource: at its time (build or run), and by its restrictions.
fn applies(group: &Resource, resource: &Resource) -> bool {
    if group.kind != ResourceKind::SecretGroup {
        return false;
    }
    let when = group.spec.get("secretType").and_then(Value::as_str).unwrap_or("environment");
    let in_time = match resource.kind {
        ResourceKind::BuildService => matches!(when, "arguments" | "environment-arguments"),
        _ => matches!(when, "environment" | "environment-arguments"),
    };
    in_time && allows(group.spec.get("restrictions"), resource)
}

fn allows(restrictions: Option<&Value>, resource: &Resource) -> bool {
    let Some(restrictions) = restrictions else { return true };
    if restrictions.get("restricted").and_then(Value::as_bool) != Some(true) {
        return true;
    }
    let listed = list(restrictions, "nfObjects").any(|object| {
        let kind = object.get("type").and_then(Value::as_str);
        object.get("id").and_then(Value::as_str) == Some(&resource.slug)
            && kind.is_none_or(|kind| kind == resource.kind.member_type())
    });
    let tags: Vec<&Value> = list(restrictions, "tags").collect();
    let has = |tag: &&Value| list(&resource.spec, "tags").any(|own| own == *tag);
    let tagged = match restrictions.get("tagMatchCondition").and_then(Value::as_str) {
        Some("and") => !tags.is_empty() && tags.iter().all(has),
        _ => tags.iter().any(has),
    };
    listed || tagged
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

/// A group's variables, and the values of the addons that it names.
fn is_restricted(group: &Resource) -> bool {
    group.spec.pointer("/restrictions/restricted").and_then(Value::as_bool).unwrap_or(false)
}

fn group_values(state: &ProjectState, group: &Resource) -> Map<String, Value> {
    let mut values = Map::new();
    for dependency in list(&group.spec, "addonDependencies") {
        let slug = dependency.get("addonId").and_then(Value::as_str).unwrap_or_default();
        let Some(addon) = state.resources.get(slug).filter(|other| other.kind == ResourceKind::Addon) else {
            continue;
        };
        let known = addon_values(addon);
        for key in list(dependency, "keys") {
            let name = key.get("keyName").and_then(Value::as_str).unwrap_or_default();
            let Some(value) = known.get(name) else { continue };
            let mut aliases = list(key, "aliases").filter_map(Value::as_str).peekable();
            if aliases.peek().is_none() {
                values.insert(name.to_owned(), value.clone());
            }
            values.extend(aliases.map(|alias| (alias.to_owned(), value.clone())));
        }
    }
    if let Some(variables) = group.spec.pointer("/secrets/variables").and_then(Value::as_object) {
        values.extend(variables.clone());
    }
    values
}

/// What an addon tells those that depend on it: its keys with their values.
fn addon_values(addon: &Resource) -> Map<String, Value> {
    let Some(port) = addon.ports.values().next() else { return Map::new() };
    let Some(password) = addon_password(addon) else { return Map::new() };
    let database = database(&addon.slug);
    let password = secret::mark(&password);
    let values = [
        ("POSTGRES_URI", connection_uri(&addon.slug, *port, &password)),
        ("HOST", HOST.into()),
        ("PORT", port.to_string().into()),
        ("USERNAME", USERNAME.into()),
        ("PASSWORD", password),
        ("DATABASE", database.into()),
    ];
    values.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// What an addon's server is set up with.
fn credentials(addon: &Resource) -> Map<String, Value> {
    let mut credentials = Map::new();
    credentials.insert("username".to_owned(), USERNAME.into());
    credentials.insert("database".to_owned(), database(&addon.slug).into());
    if let Some(password) = addon_password(addon) {
        credentials.insert("password".to_owned(), secret::mark(&password));
    }
    credentials
}

/// Where an addon's password is: its spec says so since its first apply.
pub(crate) fn addon_password(addon: &Resource) -> Option<SecretRef> {
    addon.spec.pointer("/credentials/password/$secret")?.as_str()?.parse().ok()
}

/// The connection string over a password that is finished where the work starts.
pub(crate) fn connection_uri(slug: &str, port: u16, password: &Value) -> Value {
    json!({"$text": [
        format!("postgresql://{USERNAME}:"),
        password,
        format!("@{HOST}:{port}/{}", database(slug)),
    ]})
}

/// The database's name: the slug as a word that needs no quotes.
fn database(slug: &str) -> String {
    slug.replace('-', "_")
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shipway_events::project::ResourceKind::{self, *};

    use super::*;

    fn resource(slug: &str, kind: ResourceKind, spec: Value) -> Resource {
        let id = shipway_events::ResourceId::new(uuid::Uuid::from_u128(1));
        let ports = if kind == Addon { [("db".to_owned(), 7501)].into() } else { [].into() };
        Resource { id, slug: slug.to_owned(), kind, spec, ports, revision: 1, delivery: Default::default() }
    }

    fn project(resources: &[Resource]) -> ProjectState {
        let resources = resources.iter().map(|resource| (resource.slug.clone(), resource.clone())).collect();
        ProjectState { resources, ..ProjectState::default() }
    }

    fn group(slug: &str, spec: Value) -> Resource {
        resource(slug, SecretGroup, spec)
    }

    fn of(others: &[Resource], resource: &Resource) -> Value {
        Value::Object(environment(&project(others), resource))
    }

    #[test]
    fn the_resource_itself_speaks_last_and_higher_priority_later() {
        let web = resource("web", DeploymentService, json!({"runtimeEnvironment": {"A": "own"}}));
        let groups = [
            group(
                "a-high",
                json!({"priority": 10, "secrets": {"variables": {"A": 1, "B": "high", "C": "high"}}}),
            ),
            group("b-low", json!({"secrets": {"variables": {"A": 2, "B": "low", "D": "low"}}})),
        ];
        assert_eq!(of(&groups, &web), json!({"B": "high", "C": "high", "D": "low", "A": "own"}));
    }

    #[test]
    fn services_and_jobs_know_where_the_services_of_their_project_answer() {
        let http = json!({"ports": [
            {"name": "raw", "internalPort": 1, "protocol": "TCP"}, {"name": "http", "internalPort": 2},
        ]});
        let mut shop = resource("shop-web", DeploymentService, http);
        shop.ports = [("raw".to_owned(), 7501), ("http".to_owned(), 7502)].into();
        let job = resource("smoke", ManualJob, json!({}));
        let others = [shop, job.clone()];
        assert_eq!(of(&others, &job), json!({"SHIPWAY_URL_SHOP_WEB": "http://127.0.0.1:7502"}));
        assert_eq!(of(&others, &resource("build", BuildService, json!({}))), json!({}));
    }

    #[test]
    fn a_restricted_group_is_for_those_it_names_or_that_have_its_tags() {
        let web = resource("web", DeploymentService, json!({"tags": ["eu", "prod"]}));
        let cases = [
            (json!({"restricted": false, "nfObjects": []}), true),
            (json!({"restricted": true}), false),
            (json!({"restricted": true, "nfObjects": [{"id": "web", "type": "service"}]}), true),
            (json!({"restricted": true, "nfObjects": [{"id": "web"}]}), true),
            (json!({"restricted": true, "nfObjects": [{"id": "web", "type": "job"}]}), false),
            (json!({"restricted": true, "nfObjects": [{"id": "other", "type": "service"}]}), false),
            (json!({"restricted": true, "tags": ["eu", "us"]}), true),
            (json!({"restricted": true, "tags": ["eu", "us"], "tagMatchCondition": "and"}), false),
            (json!({"restricted": true, "tags": ["eu", "prod"], "tagMatchCondition": "and"}), true),
            (json!({"restricted": true, "tags": [], "tagMatchCondition": "and"}), false),
        ];
        for (restrictions, expected) in cases {
            let group =
                group("g", json!({"restrictions": restrictions, "secrets": {"variables": {"A": "a"}}}));
            let found = of(std::slice::from_ref(&group), &web) == json!({"A": "a"});
            assert_eq!(found, expected, "{}", group.spec);
        }
    }

    #[test]
    fn groups_for_builds_and_groups_for_running_are_told_apart() {
        let (web, builder) =
            (resource("web", DeploymentService, json!({})), resource("b", BuildService, json!({})));
        for (when, runs, builds) in
            [("environment", true, false), ("arguments", false, true), ("environment-arguments", true, true)]
        {
            let group = group("g", json!({"secretType": when, "secrets": {"variables": {"A": "a"}}}));
            let there = json!({"A": "a"});
            assert_eq!(of(std::slice::from_ref(&group), &web) == there, runs, "{when}");
            assert_eq!(of(&[group], &builder) == there, builds, "{when}");
        }
    }

    #[test]
    fn an_addon_is_reached_by_a_text_around_its_secret() {
        let password = json!({"$secret": "addon/shop-db/password@1"});
        let addon = resource("shop-db", Addon, json!({"credentials": {"password": password.clone()}}));
        let keys = json!([
            {"keyName": "POSTGRES_URI", "aliases": ["DATABASE_URL", "DB"]},
            {"keyName": "DATABASE"},
            {"keyName": "PASSWORD", "aliases": []},
            {"keyName": "HOST", "aliases": ["H"]}, {"keyName": "PORT", "aliases": ["P"]},
            {"keyName": "USERNAME", "aliases": ["U"]}, {"keyName": "NO_SUCH_KEY"},
        ]);
        let group = group(
            "g",
            json!({"addonDependencies": [{"addonId": "shop-db", "keys": keys}, {"addonId": "no"}]}),
        );
        let uri = json!({"$text": ["postgresql://shipway:", password, "@127.0.0.1:7501/shop_db"]});
        assert_eq!(
            of(&[addon, group], &resource("migrate", ManualJob, json!({}))),
            json!({
                "DATABASE_URL": uri, "DB": uri, "DATABASE": "shop_db", "PASSWORD": password,
                "H": "127.0.0.1", "P": "7501", "U": "shipway",
            })
        );
        let finished = secret::finish(&uri, &|_| Some("pw".to_owned())).unwrap();
        assert_eq!(finished, json!("postgresql://shipway:pw@127.0.0.1:7501/shop_db"));
    }
}
