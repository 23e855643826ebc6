//! Rollback on the demo's project with a real database: backup, migrate, deploy, and back.

#![expect(clippy::unwrap_used, reason = "a test whose world is not as it should be fails at once")]

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use serde_json::Value;
use shipway_integration_tests::{
    git::Repository,
    lab::Lab,
    shipway::{Shipway, http, wait},
};

const PROJECT: &str = include_str!("../../services/shipway/demo/shop.yaml");
const PROCFILE: &str = include_str!("../../services/shipway/demo/shop/Procfile");
const STORE: &str = include_str!("../fixtures/store.rs");
const CARGO: &str = "[package]\nname = \"store\"\nversion = \"1.0.0\"\nedition = \"2024\"\n[workspace]\n\
                     [profile.release]\nopt-level = 0\n";

/// The demo's project, with a program that builds in a second.
struct Shop {
    shipway: Shipway,
    repository: Repository,
}

impl Shop {
    fn create(name: &str) -> Self {
        let shipway = Shipway::up(name).unwrap();
        let repository = Repository::create(&shipway.data().join("demo"), "shop").unwrap();
        repository.write("Cargo.toml", CARGO).unwrap();
        repository.write("Procfile", PROCFILE).unwrap();
        for (bin, main) in [
            ("web", "fn main() -> std::process::ExitCode { store::web() }"),
            ("migrate", "fn main() -> std::process::ExitCode { store::migration() }"),
            ("smoke", "fn main() {}"),
        ] {
            repository.write(&format!("src/bin/{bin}.rs"), main).unwrap();
        }
        let shop = Self { shipway, repository };
        shop.push(1);
        let address = format!("REPOSITORY: \"file://{}\"", shop.repository.bare().display());
        let file = shop.shipway.data().join("shop.yaml");
        fs::write(&file, PROJECT.replacen("REPOSITORY: \"\"", &address, 1)).unwrap();
        shop.shipway.json(&["apply", "-f", file.to_str().unwrap()]).unwrap();
        for addon in ["shop-db-dev", "shop-db"] {
            wait("the addon's start", || {
                let runs = shop.shipway.shipway(&["runs", &format!("addon/shop/{addon}")])?;
                Ok(runs.contains("success").then_some(()))
            })
            .unwrap();
        }
        shop
    }

    /// A version of the program that brings so many migrations.
    fn push(&self, brings: usize) {
        self.repository.write("src/lib.rs", &STORE.replace("@BRINGS@", &brings.to_string())).unwrap();
        self.repository.commit(&format!("version {brings}")).unwrap();
        self.repository.push().unwrap();
    }

    /// Runs a flow to its good end; the run.
    fn run(&self, flow: &str, arguments: &[&str]) -> String {
        let run = self.shipway.json(&[&["run", flow], arguments].concat()).unwrap()["run"].clone();
        self.well(run.as_str().unwrap())
    }

    fn well(&self, run: &str) -> String {
        let ended = self.shipway.ended(run).unwrap();
        assert_eq!(ended["status"], "success", "{ended:#}");
        run.to_owned()
    }

    fn row(&self, resource: &str) -> Value {
        let state = self.shipway.json(&["state"]).unwrap();
        let rows = state["deployed"].as_array().unwrap();
        rows.iter().find(|row| row["resource"] == resource).unwrap().clone()
    }

    /// What each service and job has.
    fn digests(&self) -> Vec<(String, String)> {
        let state = self.shipway.json(&["state"]).unwrap();
        let rows = state["deployed"].as_array().unwrap().iter().filter(|row| row["kind"] != "Addon");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        rows.map(|row| (text(&row["resource"]), text(&row["artifact"]["digest"]))).collect()
    }

    async fn get(&self, service: &str, path: &str) -> String {
        let address = self.row(service)["addresses"][0].as_str().unwrap().to_owned();
        let reply = http().get(format!("{address}{path}")).send().await.unwrap();
        assert!(reply.status().is_success(), "{service}{path}: {}", reply.text().await.unwrap());
        reply.text().await.unwrap()
    }

    async fn add(&self, service: &str, item: &str) {
        let address = self.row(service)["addresses"][0].as_str().unwrap().to_owned();
        let reply = http().post(format!("{address}/items")).body(item.to_owned()).send().await.unwrap();
        assert!(reply.status().is_success(), "{}", reply.text().await.unwrap());
    }
}

#[tokio::test]
async fn a_rollback_brings_back_what_was_database_included() {
    let shop = Shop::create("rollback");
    let shipway = &shop.shipway;
    shop.run("shop/development", &[]);
    let first = shop.run("shop/staging", &[]);
    let refused = shipway.attempt(&["rollback", "shop/staging", "--yes"]).unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("there is nothing to go back to"), "{said}");
    shop.add("shop-web-staging", "before").await;

    // Another version, with another schema; what was there before its release is what has to come back.
    shop.push(2);
    shop.run("shop/development", &[]);
    let (dump, digests) = (shop.get("shop-web-staging", "/dump").await, shop.digests());
    assert!(dump.contains("'before'") && !dump.contains("note"), "{dump}");
    let moment = shipway.json(&["state"]).unwrap()["at"].as_str().unwrap().to_owned();
    let second = shop.run("shop/staging", &[]);
    shop.add("shop-web-staging", "after").await;
    assert!(shop.get("shop-web-staging", "/version").await.contains("\"schema\": 2"));
    assert_ne!(shop.digests(), digests);

    // The plan names the restore point and what is lost with it.
    let planned = shipway.json(&["rollback", "shop/staging", "--plan"]).unwrap();
    assert_eq!(planned["plan"], "", "somebody has to decide: {planned:#}");
    assert_eq!(
        (&planned["rollback"]["of"], &planned["rollback"]["to"]),
        (&Value::from(second.as_str()), &Value::from(first.as_str()))
    );
    let data = &planned["data"][0];
    assert_eq!((&data["addon"], &data["chosen"]), (&"shop-db".into(), &"".into()), "{planned:#}");
    assert_eq!(data["changed"], "`migrate` of shop/staging ran `shop-migrate`");
    let backup = data["backup"].as_str().unwrap().to_owned();
    let ended = shipway.json(&["show", &second]).unwrap();
    let made = ended["nodes"].as_array().unwrap().iter().find(|node| node["ref"] == "backup").unwrap();
    assert_eq!(made["outputs"]["id"], backup.as_str(), "the backup right before the migration");
    assert!(data["loss"].as_str().unwrap().contains("what was written to `shop-db` since "), "{data}");
    let refused = shipway.attempt(&["rollback", "shop/staging", "--yes"]).unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains(&format!("--restore shop-db={backup} or --restore shop-db=keep")), "{said}");

    let restore = format!("shop-db={backup}");
    let wanted = ["rollback", "shop/staging", "--restore", &restore];
    let planned = shipway.json(&[&wanted[..], &["--plan"]].concat()).unwrap();
    let nodes = planned["nodes"].as_array().unwrap();
    let names: Vec<&str> = nodes.iter().map(|node| node["ref"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "load-shop-db",
            "stop-shop-web-staging",
            "restore-shop-db",
            "again-shop-web-staging",
            "shop-web-staging",
            "shop-migrate"
        ]
    );
    let hash = planned["plan"].as_str().unwrap();
    assert!(hash.starts_with("sha256:"), "{planned:#}");

    // What is stopped for the restore may come up again; what is gone back to is held like for any other run.
    let earlier = digests.iter().find(|(resource, _)| resource == "shop-web-staging").unwrap().1.as_str();
    let words = ["hold", "shop/staging", "--digest", earlier, "--name", "early", "-m", "slow"];
    shipway.shipway(&words).unwrap();
    let refused = shipway.attempt(&[&wanted[..], &["--yes"]].concat()).unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("the hold `early`"), "{said}");
    assert!(said.contains("`shipway rollback --despite-hold`"), "{said}");
    shipway.shipway(&["unhold", "early"]).unwrap();

    let begin = Instant::now();
    let exactly = format!("--plan={hash}");
    let words = [&wanted[..], &[&exactly, "--yes", "-r", "it was wrong"]].concat();
    let run = shop.well(shipway.json(&words).unwrap()["run"].as_str().unwrap());
    let took = begin.elapsed();

    // All is as it was.
    assert_eq!(shop.get("shop-web-staging", "/dump").await, dump);
    assert_eq!(shop.digests(), digests);
    let diff = shipway.json(&["state", "--diff", &moment, "now"]).unwrap();
    assert_eq!(diff["changes"], Value::Array(Vec::new()), "{diff:#}");

    // The run is marked, and both releases say so.
    let shown = shipway.json(&["show", &run]).unwrap();
    assert_eq!((&shown["kind"], &shown["description"]), (&"rollback".into(), &"it was wrong".into()));
    assert_eq!(shown["rollback"]["to"], first.as_str());
    let runs = shipway.json(&["runs", "shop/staging"]).unwrap();
    let kinds: Vec<_> = runs["runs"].as_array().unwrap().iter().map(|run| &run["kind"]).collect();
    assert_eq!(kinds, ["rollback", "release", "release"]);
    let commits: Vec<_> = runs["runs"].as_array().unwrap().iter().map(|run| &run["commit"]).collect();
    assert!(commits[0] == commits[2] && commits[0] != commits[1], "it is of what it went back to: {runs:#}");
    assert!(shipway.shipway(&["runs"]).unwrap().contains("shop/staging (rollback)"));
    for (release, undid) in [(&first, false), (&second, true)] {
        let was = shipway.json(&["show", release, "--at", "1"]).unwrap();
        assert_eq!(was["rollbacks"][0]["run"], run.as_str(), "{was:#}");
        assert_eq!(was["rollbacks"][0]["undid"], undid);
    }

    // What was left is held: nothing brings it back but a person.
    let held = wait("the hold", || {
        let holds = shipway.json(&["holds"])?;
        let held = holds["holds"].as_array().and_then(|all| all.first()).cloned();
        Ok(held)
    })
    .unwrap();
    assert_eq!(held["reason"], format!("rolled back by run {run}: it was wrong"), "{held:#}");
    let refused = shipway.attempt(&["run", "shop/staging"]).unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains(held["name"].as_str().unwrap()), "{said}");

    // What the database was is kept until somebody confirms.
    let help = || shop.row("shop-db")["help"].as_str().unwrap_or_default().to_owned();
    assert!(help().contains(&format!("before run {run} restored it is kept since")), "{}", help());
    for (rows, schema) in [(2, "\"schema\": 2"), (1, "\"schema\": 1")] {
        let reverted = shipway.json(&["addon", "revert", "shop-db"]).unwrap();
        shop.well(reverted["run"].as_str().unwrap());
        let items = shop.get("shop-web-staging", "/items").await;
        assert_eq!(items.matches("\"name\"").count(), rows, "{items}");
        assert!(shop.get("shop-web-staging", "/version").await.contains(schema));
    }
    let confirmed = shipway.json(&["addon", "confirm", "shop-db"]).unwrap();
    shop.well(confirmed["run"].as_str().unwrap());
    wait("nothing to be kept", || Ok((!help().contains("kept since")).then_some(()))).unwrap();
    println!("ROLLBACK of backup, migrate, deploy: {:.1} s from the command to the end", took.as_secs_f64());
}

#[tokio::test]
async fn what_is_in_the_way_of_a_rollback_is_said() {
    let shipway = Shipway::up("rollback-refused").unwrap();
    let lab = Lab::create(&shipway).unwrap();
    let refused = |arguments: &[&str]| {
        let output =
            shipway.attempt(&[&["rollback", "lab/development", "--yes"], arguments].concat()).unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let run = || {
        let started = shipway.json(&["run", "lab/development"]).unwrap();
        let ended = shipway.ended(started["run"].as_str().unwrap()).unwrap();
        assert_eq!(ended["status"], "success", "{ended:#}");
        let state = shipway.json(&["state"]).unwrap();
        let rows = state["deployed"].as_array().unwrap();
        let row = rows.iter().find(|row| row["resource"] == "lab-web-dev").unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&ended["id"]), text(&row["artifact"]["digest"]), text(&state["at"]))
    };
    let begin = shipway.json(&["state"]).unwrap()["at"].as_str().unwrap().to_owned();
    assert!(refused(&[]).contains("nothing was released to lab/development yet"));
    let (first, one, _) = run();
    assert!(refused(&[]).contains("there is nothing to go back to"));
    assert!(refused(&["--to", &begin]).contains("that is before its first release"));
    assert!(refused(&["--to", "2100-01-01T00:00:00Z"]).contains("is to come"));
    assert!(refused(&["--to", &first]).contains("there is nothing to go back from"));
    assert!(refused(&["--to", "sha256:0123456789"]).contains("was never released in lab/development"));

    // A release by another version of the flow; the one that ran then comes back with what it released.
    let other = lab.project().replacen("timeoutDuration: 60", "timeoutDuration: 90", 1);
    let file = shipway.data().join("other.yaml");
    fs::write(&file, other).unwrap();
    shipway.json(&["apply", "-f", file.to_str().unwrap()]).unwrap();
    lab.release("two").unwrap();
    let (second, two, _) = run();
    let back = ["rollback", "lab/development", "--with-flow", "--to", &one, "--yes"];
    let same = ["diff", "--flow", "lab/development", "--from", "1", "--to", "3", "--exit-code"];
    let is_back = || Ok(shipway.attempt(&same)?.status.success().then_some(()));
    // One that comes to no good end leaves the flow as it is, and holds nothing that could be in the way.
    shipway.shipway(&["freeze", "lab/development", "--name", "weekend"]).unwrap();
    let waits = shipway.json(&[&back[..], &["--no-hold"]].concat()).unwrap();
    shipway.shipway(&["abort", waits["run"].as_str().unwrap()]).unwrap();
    assert_eq!(shipway.ended(waits["run"].as_str().unwrap()).unwrap()["status"], "aborted");
    assert!(is_back().unwrap().is_none());
    shipway.shipway(&["unfreeze", "weekend"]).unwrap();
    let rolled = shipway.json(&back).unwrap();
    assert_eq!(rolled["rollback"]["flowVersion"], 1);
    assert_eq!(
        (&rolled["rollback"]["of"], &rolled["rollback"]["to"]),
        (&second.as_str().into(), &first.into())
    );
    let rolled = rolled["run"].as_str().unwrap();
    assert_eq!(shipway.ended(rolled).unwrap()["status"], "success");
    wait("version 3, which says what version 1 said", is_back).unwrap();

    // A rollback can be gone back from, but not to what is not there any more.
    let hex = two.strip_prefix("sha256:").unwrap();
    let blobs = files(&shipway.data().join("blobs"));
    let blob = blobs.iter().find(|path| path.to_string_lossy().replace('/', "").contains(hex)).unwrap();
    let aside = shipway.data().join("aside");
    fs::rename(blob, &aside).unwrap();
    let said = refused(&["--to", &two]);
    assert!(said.contains("is not among the blobs any more: build commit"), "{said}");
    fs::rename(&aside, blob).unwrap();
    let hold = wait("the hold", || {
        let holds = shipway.json(&["holds"])?;
        Ok(holds["holds"][0]["name"].as_str().map(str::to_owned))
    })
    .unwrap();
    let said = refused(&["--to", &two]);
    assert!(said.contains(&hold), "what was left is held: {said}");
    assert!(said.contains("`shipway rollback --despite-hold`"), "{said}");
    let to_two = ["rollback", "lab/development", "--to", &two, "--yes", "--no-hold"];
    let again = shipway.json(&[&to_two[..], &["--despite-hold", "it was right"]].concat()).unwrap();
    assert_eq!(again["rollback"]["of"], rolled);
    assert_eq!(shipway.ended(again["run"].as_str().unwrap()).unwrap()["status"], "success");
    let stream = format!("run-{}", again["run"].as_str().unwrap());
    let events = shipway.shipway(&["events", "--stream", &stream, "-o", "json"]).unwrap();
    let mut events = events.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let overridden = events.find(|event| event["type"] == "run.hold_overridden");
    let overridden = overridden.expect("that it passed the hold is in the log");
    assert_eq!(overridden["data"]["reason"], "it was right", "{overridden:#}");
    assert!(!overridden["data"]["by"].is_null(), "{overridden:#}");
    let state = shipway.json(&["state"]).unwrap();
    assert_eq!(state["deployed"][0]["artifact"]["digest"], two.as_str(), "{state:#}");

    // What was looked at is not what would be done now.
    let plan = shipway.json(&["rollback", "lab/development", "--to", &one, "--plan"]).unwrap();
    let exactly = format!("--plan={}", plan["plan"].as_str().unwrap());
    lab.release("three").unwrap();
    run();
    let moved = ["rollback", "lab/development", "--to", &one, &exactly, "--yes"];
    let moved = shipway.attempt(&moved).unwrap();
    assert_eq!(moved.status.code(), Some(6), "{}", String::from_utf8_lossy(&moved.stderr));
    // Before the third release ran the second, by a rollback.
    let plan = shipway.json(&["rollback", "lab/development", "--plan"]).unwrap();
    assert_eq!(plan["rollback"]["to"], second.as_str(), "{plan:#}");
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
