//! What nodes printed long ago is deleted, and nothing else.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use shipway_integration_tests::{
    lab::Lab,
    shipway::{Shipway, wait},
};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// The folder of a run's stored logs, below that of its day.
fn of_run(logs: &Path, run: &str) -> PathBuf {
    let mut days = fs::read_dir(logs).unwrap().map(|day| day.unwrap().path().join(run));
    days.find(|folder| folder.is_dir()).unwrap()
}

/// Has a run's logs be as old as that.
fn age(folder: &Path, by: u32) {
    let (day, run) = (folder.parent().unwrap(), folder.file_name().unwrap());
    let number: u64 = day.file_name().unwrap().to_str().unwrap().parse().unwrap();
    let before = day.with_file_name((number - u64::from(by)).to_string());
    fs::create_dir_all(&before).unwrap();
    fs::rename(folder, before.join(run)).unwrap();
    let mut open = vec![before.join(run)];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            let file = fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(SystemTime::now() - DAY * by).unwrap();
        }
    }
}

#[test]
fn logs_older_than_their_time_are_deleted_and_no_others() {
    let mut shipway = Shipway::up_with("old-logs", &["--log-retention", "30"]).unwrap();
    Lab::create(&shipway).unwrap();
    let runs = [(); 3].map(|()| {
        shipway.shipway(&["run", "lab/development", "-w"]).unwrap();
        shipway.json(&["show", "@latest"]).unwrap()["id"].as_str().unwrap().to_owned()
    });
    shipway.stop().unwrap();
    let logs = shipway.data().join("blobs/logs");
    let [old, younger, new] = runs.each_ref().map(|run| of_run(&logs, run));
    age(&old, 31);
    age(&younger, 29);
    shipway.start().unwrap();
    let left = |run: &String| fs::read_dir(&logs).unwrap().any(|day| day.unwrap().path().join(run).is_dir());
    wait("the oldest logs to be gone", || Ok((!left(&runs[0])).then_some(()))).unwrap();
    assert!(left(&runs[1]), "29 days are fewer than 30");
    assert!(new.is_dir() && !younger.is_dir());
    assert!(!shipway.shipway(&["logs", &runs[2]]).unwrap().is_empty());
}
