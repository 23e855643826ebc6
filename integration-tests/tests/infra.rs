//! What `infra/` says is what the program takes: every manifest is what Kubernetes knows, and every setting in manifests
//! and in the compose file is a setting of its service. And `scripts/` say what will not do before they begin.

#![expect(clippy::unwrap_used, reason = "a test whose world is not as it should be fails at once")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    core::v1::{ConfigMap, PersistentVolumeClaim, Service},
    networking::v1::{Ingress, NetworkPolicy},
    policy::v1::PodDisruptionBudget,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use serde_norway::Value as Yaml;
use shipway_integration_tests::shipway::binary;

/// What stands for what only an installation knows.
const GIVEN: [(&str, &str); 6] = [
    ("database-url", "postgres://shipway:secret@postgres:5432/shipway"),
    ("access-key", "key"),
    ("secret-key", "secret"),
    ("status.podIP", "10.0.0.1"),
    ("metadata.name", "pod-0"),
    ("POSTGRES_PASSWORD", "secret"),
];

fn infra(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra").join(path)
}

/// The objects of an overlay, rendered.
fn rendered(overlay: &str) -> Vec<Value> {
    let folder = infra("kubernetes/overlays").join(overlay);
    let output = Command::new("kubectl").arg("kustomize").arg(&folder).output();
    let output = output.expect("kubectl renders the manifests: ./scripts/test sets it up");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let documents = serde_norway::Deserializer::from_slice(&output.stdout);
    documents.map(|document| Value::deserialize(document).unwrap()).collect()
}

/// Reads an object as what it claims to be. A field that Kubernetes does not know is lost on the way, and missed.
fn is_known(object: &Value) {
    fn through<T: DeserializeOwned + Serialize>(object: &Value) -> Value {
        let name = &object["metadata"]["name"];
        let typed: T =
            serde_json::from_value(object.clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
        serde_json::to_value(typed).unwrap()
    }
    let kind = format!("{}/{}", object["apiVersion"].as_str().unwrap(), object["kind"].as_str().unwrap());
    let known = match kind.as_str() {
        "v1/ConfigMap" => through::<ConfigMap>(object),
        "v1/Service" => through::<Service>(object),
        "v1/PersistentVolumeClaim" => through::<PersistentVolumeClaim>(object),
        "apps/v1/Deployment" => through::<Deployment>(object),
        "apps/v1/StatefulSet" => through::<StatefulSet>(object),
        "networking.k8s.io/v1/Ingress" => through::<Ingress>(object),
        "networking.k8s.io/v1/NetworkPolicy" => through::<NetworkPolicy>(object),
        "policy/v1/PodDisruptionBudget" => through::<PodDisruptionBudget>(object),
        other => panic!("this test does not know {other}"),
    };
    if let Some(lost) = lost(object, &known) {
        panic!("{kind} {}: Kubernetes knows no {lost}", object["metadata"]["name"]);
    }
}

/// The path of a field that is in one and not in the other. What is empty says nothing and may be left out.
fn lost(given: &Value, known: &Value) -> Option<String> {
    let nothing = |value: &Value| value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty);
    match (given, known) {
        (Value::Object(given), known) => given.iter().find_map(|(key, value)| match known.get(key) {
            Some(known) => lost(value, known).map(|rest| format!("{key}.{rest}")),
            None if nothing(value) => None,
            None => Some(key.clone()),
        }),
        (Value::Array(given), Value::Array(known)) => {
            let mut pairs = given.iter().zip(known).enumerate();
            pairs.find_map(|(index, (given, known))| lost(given, known).map(|rest| format!("{index}.{rest}")))
        }
        _ => None,
    }
}

fn given(name: &str) -> String {
    let found = GIVEN.iter().find(|(given, _)| *given == name);
    found.unwrap_or_else(|| panic!("what would {name} be?")).1.to_owned()
}

/// Has the program itself look at the settings of a service.
fn check(service: &str, environment: &BTreeMap<String, String>, of: &str) {
    let mut command = Command::new(binary().unwrap());
    command.args(["config", "check", "--service", service]).env_clear().envs(environment);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{of}: {said}\n{environment:#?}");
}

/// The environment of a container, with what only an installation knows put in.
fn environment(container: &Value, shared: &Value) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for (key, value) in shared["data"].as_object().unwrap() {
        all.insert(key.clone(), value.as_str().unwrap().to_owned());
    }
    for variable in container["env"].as_array().into_iter().flatten() {
        let (name, from) = (variable["name"].as_str().unwrap(), &variable["valueFrom"]);
        let key = from["secretKeyRef"]["key"].as_str().or(from["fieldRef"]["fieldPath"].as_str());
        let value = variable["value"].as_str().map_or_else(|| given(key.unwrap()), str::to_owned);
        let value = all.iter().fold(value, |text, (key, value)| text.replace(&format!("$({key})"), value));
        assert!(!value.contains("$("), "{name} uses what is not there: {value}");
        all.insert(name.to_owned(), value);
    }
    all
}

#[test]
fn the_overlays_are_what_kubernetes_and_the_services_take() {
    for overlay in ["small", "production"] {
        let objects = rendered(overlay);
        objects.iter().for_each(is_known);
        let shared =
            objects.iter().find(|object| object["data"]["SHIPWAY_SERVER__LISTEN"].is_string()).unwrap();
        let mut checked = 0;
        for object in &objects {
            let pod = &object["spec"]["template"]["spec"];
            let containers = pod["containers"].as_array().into_iter().flatten();
            for container in containers.filter(|container| container["envFrom"].is_array()) {
                let name = container["name"].as_str().unwrap();
                check(name, &environment(container, shared), &format!("{overlay}/{name}"));
                let drain = pod["terminationGracePeriodSeconds"].as_u64().unwrap();
                assert!(drain > 20, "{name} is killed before it has finished");
                checked += 1;
            }
        }
        assert_eq!(checked, 5, "{overlay}");
    }
}

#[test]
fn what_kubernetes_does_not_know_is_found() {
    let object = serde_json::json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"},
        "spec": {"ports": [{"port": 1, "tragetPort": 2}]}
    });
    let typed: Service = serde_json::from_value(object.clone()).unwrap();
    let known = serde_json::to_value(typed).unwrap();
    assert_eq!(lost(&object, &known).unwrap(), "spec.ports.0.tragetPort");
}

#[test]
fn the_compose_file_gives_each_service_settings_that_hold() {
    let text = fs::read_to_string(infra("compose/compose.yaml")).unwrap();
    let mut file: Yaml = serde_norway::from_str(&text).unwrap();
    file.apply_merge().unwrap();
    let file: Value = serde_json::to_value(file).unwrap();
    let volumes = file["volumes"].as_object().unwrap();
    let mut checked = 0;
    for (name, service) in file["services"].as_object().unwrap() {
        for volume in service["volumes"].as_array().into_iter().flatten() {
            let from = volume.as_str().unwrap().split(':').next().unwrap();
            let there =
                volumes.contains_key(from) || (from.starts_with('.') && infra("compose").join(from).exists());
            assert!(there, "{name}: there is no {from}");
        }
        for other in service["depends_on"].as_array().into_iter().flatten() {
            assert!(file["services"][other.as_str().unwrap()].is_object(), "{name} depends on {other}");
        }
        if service["command"][0] != "serve" {
            continue;
        }
        let environment = service["environment"].as_object().unwrap().iter().map(|(key, value)| {
            let value = value.as_str().unwrap_or_else(|| panic!("{name}: {key} is no text"));
            let filled = value.split_once("${POSTGRES_PASSWORD").map(|(before, rest)| {
                format!("{before}{}{}", given("POSTGRES_PASSWORD"), rest.split_once('}').unwrap().1)
            });
            (key.clone(), filled.unwrap_or_else(|| value.to_owned()))
        });
        check(service["command"][1].as_str().unwrap(), &environment.collect(), name);
        checked += 1;
    }
    assert_eq!(checked, 10);
}

#[test]
fn the_servers_take_their_configurations() {
    let node = fs::read_to_string(infra("nats/node.conf")).unwrap();
    let copy = fs::read_to_string(infra("kubernetes/base/nats/node.conf")).unwrap();
    assert_eq!(node, copy, "Kustomize reads nothing outside its folder, so there is a copy; it must be one");
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let nats = Command::new("nats-server")
        .args(["-t", "-c"])
        .arg(infra("nats/node.conf"))
        .envs([("NATS_NAME", "n"), ("NATS_LISTEN", "127.0.0.1:1"), ("NATS_CLUSTER", "127.0.0.1:2")])
        .envs([("NATS_MONITOR", "127.0.0.1:3"), ("NATS_ROUTES", "[nats://127.0.0.1:2]")])
        .env("NATS_STORE", at("store"))
        .output()
        .expect("nats-server is installed: ./scripts/test sets it up");
    assert!(nats.status.success(), "{}", String::from_utf8_lossy(&nats.stderr));
    let mut haproxy = Command::new("haproxy");
    haproxy.args(["-c", "-f"]).arg(infra("haproxy/haproxy.cfg"));
    haproxy.env("LB_LISTEN", "127.0.0.1:1").env("LB_ADMIN", at("admin"));
    for service in ["PIPELINES", "TRIGGERS", "SCHEDULER", "CONSOLE"] {
        for number in 1..=2 {
            haproxy.env(format!("{service}_{number}"), "127.0.0.1:2");
        }
    }
    let haproxy = haproxy.output().expect("haproxy is installed: ./scripts/test sets it up");
    assert!(haproxy.status.success(), "{}", String::from_utf8_lossy(&haproxy.stderr));
}

#[test]
fn the_load_balancer_knows_every_service() {
    let balancer = fs::read_to_string(infra("haproxy/haproxy.cfg")).unwrap();
    let mut services = 0;
    for file in fs::read_dir(infra("../proto/shipway/v1")).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        for service in text.lines().filter_map(|line| line.strip_prefix("service ")?.split(' ').next()) {
            // Schedulers find each other without it.
            let is_there = balancer.contains(&format!(" /shipway.v1.{service}/ "));
            assert_eq!(is_there, service != "Peers", "{service}");
            services += 1;
        }
    }
    assert!(services >= 16, "{services} services");
}

#[test]
fn a_cluster_at_a_port_that_instances_take_is_refused_before_anything_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/cluster");
    let mut up = Command::new(script);
    up.args(["up", "--port", "26000", "--data"]).arg(folder.path()).env("SHIPWAY_BIN", binary().unwrap());
    let output = up.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("ports.first: public ports would be 26100 to 26599"), "{said}");
    assert!(said.contains("a cluster cannot have its front at port 26000"), "{said}");
    // Another port is taken afterwards, as none has been kept.
    assert!(!folder.path().join("port").exists() && !folder.path().join("postgres").exists(), "{said}");
}

#[test]
fn a_disk_without_room_is_said_before_anything_is_built() {
    let folder = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/lib/setup.sh");
    let says = |least: &str| {
        let mut look = Command::new("bash");
        look.args(["-c", r#". "$0"; look_for_room "$1""#]).arg(&script).arg(least);
        let output = look.env("CARGO_TARGET_DIR", folder.path()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert_eq!(says("0"), "");
    let said = says("100000000");
    assert!(said.starts_with("warning: ") && said.contains(folder.path().to_str().unwrap()), "{said}");
}
