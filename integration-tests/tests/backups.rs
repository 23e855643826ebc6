//! Backups: of a database by a flow, and of Shipway itself.

use std::process::Command;

use shipway_integration_tests::{
    lab::Lab,
    postgres::client,
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
    let shipway = Shipway::up("itself").unwrap();
    let lab = Lab::create(&shipway).unwrap();
    lab.release("first").unwrap();
    shipway.shipway(&["run", "lab/development", "-w"]).unwrap();
    let archive = shipway.data().join("copy.tar.zst");
    let archive = archive.to_str().unwrap();
    // Runs go on while the copy is made.
    let running = shipway.json(&["run", "lab/staging", "-p", "HOLD=2000"]).unwrap();
    shipway.shipway(&["backup", "--with-keys", "-o", archive]).unwrap();
    let run = running["id"].as_str().or(running["run"].as_str()).unwrap();
    assert_eq!(shipway.ended(run).unwrap()["status"], "success");
    let before = shipway.json(&["state"]).unwrap();

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
    // What went on when the copy was made is asked again here, where its addon does not run; it says so.
    assert!(["success", "failure"].contains(&ended["status"].as_str().unwrap()), "{ended:#}");
}

#[test]
fn a_changed_byte_of_the_log_is_found_and_named() {
    let mut shipway = Shipway::up("tampered").unwrap();
    Lab::create(&shipway).unwrap();
    shipway.stop().unwrap();
    let log = shipway.data().join("log.db");
    let changed = client(
        "sqlite3",
        &[
            log.to_str().unwrap(),
            "UPDATE events SET data = replace(data, 'lab-build', 'lab-bui1d') WHERE position = \
         (SELECT max(position) FROM events WHERE data LIKE '%lab-build%'); \
         SELECT max(position) FROM events WHERE data LIKE '%lab-bui1d%'",
        ],
    );
    let position = changed.unwrap().trim().to_owned();
    shipway.start().unwrap();
    let verdict = shipway.attempt(&["verify"]).unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&verdict.stdout), String::from_utf8_lossy(&verdict.stderr));
    assert_eq!(verdict.status.code(), Some(1), "{said}");
    assert!(said.contains(&position), "position {position} is named: {said}");
}
