//! Backups: of a database by a flow, and of Shipway itself.

use std::process::Command;

use sqlx::{Connection, SqliteConnection};

use shipway_integration_tests::{
    lab::Lab,
    shipway::{Shipway, binary},
};

#[test]
fn a_dropped_table_comes_back() {
    let shipway = Shipway::up("table-back").unwrap();
    Lab::create(&shipway).unwrap();
    shipway.shipway(&["run", "lab/development", "-w"]).unwrap();
    let sql = |sql: &str, more: &[&str]| {
        let sql = format!("SQL={sql}");
        shipway.shipway(&[&["run", "lab/staging", "-w", "-p", &sql][..], more].concat()).unwrap();
        shipway.json(&["show", "@latest"]).unwrap()
    };
    sql("CREATE TABLE items (name text); INSERT INTO items VALUES ('one'), ('two')", &[]);
    // Its backup is made before its statement.
    let dropped = sql("DROP TABLE items", &[]);
    let backup = dropped["nodes"].as_array().unwrap().iter().find(|node| node["ref"] == "backup").unwrap();
    let backup = format!("BACKUP={}", backup["outputs"]["id"].as_str().unwrap());
    sql("SELECT 'rows: ' || string_agg(name, ',' ORDER BY name) FROM items", &["-p", &backup]);
    let log = shipway.shipway(&["logs", "@latest", "sql"]).unwrap();
    assert!(log.contains("rows: one,two"), "{log}");
}

#[test]
fn shipway_itself_comes_back_from_a_backup_and_deploys_nothing_twice() {
    let mut shipway = Shipway::up("itself").unwrap();
    let lab = Lab::create(&shipway).unwrap();
    lab.release("first").unwrap();
    shipway.shipway(&["run", "lab/development", "-w"]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("copy.tar.zst");
    let archive = archive.to_str().unwrap();
    // Runs go on while the copy is made.
    let running = shipway.json(&["run", "lab/staging", "-p", "HOLD=2000"]).unwrap();
    shipway.shipway(&["backup", "--with-keys", "-o", archive]).unwrap();
    let run = running["id"].as_str().or(running["run"].as_str()).unwrap();
    assert_eq!(shipway.ended(run).unwrap()["status"], "success");
    let before = shipway.json(&["state"]).unwrap();

    shipway.stop().unwrap();
    shipway.shipway(&["down"]).unwrap();
    let mut again = Shipway::prepare("itself-again").unwrap();
    std::fs::remove_dir_all(again.data()).ok();
    let restored = Command::new(binary().unwrap())
        .args(["restore", archive, "--data"])
        .arg(again.data())
        .output()
        .unwrap();
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    again.start().unwrap();
    let verdict = again.shipway(&["verify"]).unwrap();
    assert!(verdict.contains("as they were written"), "{verdict}");
    let ended = again.ended(run).unwrap();
    let state = again.json(&["state"]).unwrap();
    let digest = |state: &serde_json::Value, resource: &str| {
        let row =
            state["deployed"].as_array().unwrap().iter().find(|row| row["resource"] == resource).cloned();
        row.map(|row| row["artifact"]["digest"].clone())
    };
    assert_eq!(digest(&state, "lab-web-dev"), digest(&before, "lab-web-dev"));
    // What went on when the copy was made is asked for again here. The database is not in the copy: it says so.
    let failed = ended["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .find(|node| node["status"] == "failure" && node["kind"] != "Workflow");
    let why = failed.map(|node| node["errorMessage"].to_string()).unwrap_or_default();
    assert!(ended["status"] == "failure" && why.contains("Connection refused"), "{ended:#}");
}

#[tokio::test]
async fn a_changed_byte_of_the_log_is_found_and_named() {
    let mut shipway = Shipway::up("tampered").unwrap();
    Lab::create(&shipway).unwrap();
    let events = shipway.shipway(&["events", "-o", "json"]).unwrap();
    let position = events
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|event| event["data"].to_string().contains("lab-build"))
        .map(|event| event["position"].to_string())
        .collect::<Vec<_>>();
    shipway.stop().unwrap();
    let file = shipway.data().join("log.db");
    let mut log = SqliteConnection::connect(&format!("sqlite://{}", file.display())).await.unwrap();
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut log).await.unwrap();
    log.close().await.unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    let word = b"lab-build";
    let place = bytes.windows(word.len()).rposition(|window| window == word).unwrap();
    bytes[place] = b'L';
    std::fs::write(&file, bytes).unwrap();
    shipway.start().unwrap();
    let verdict = shipway.attempt(&["verify"]).unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&verdict.stdout), String::from_utf8_lossy(&verdict.stderr));
    assert_eq!(verdict.status.code(), Some(1), "{said}");
    assert!(position.iter().any(|position| said.contains(position)), "one of {position:?} is named: {said}");
}
