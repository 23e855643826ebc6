//! What the runtime tests share.

#![allow(dead_code, unreachable_pub, clippy::allow_attributes, reason = "each test file uses its part")]

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU16, Ordering},
    time::{Duration, Instant},
};

use shipway_events::{Fence, ProjectId, ResourceId};
use shipway_executor::runtime::{
    Deployment, Keeping, Place, Task, TaskId,
    process::{ProcessOptions, ProcessRuntime},
};
use shipway_nodes::workload::{HealthCheck, Port, Target};

/// The program with the small processes and the servers.
pub const BINARY: &str = env!("CARGO_BIN_EXE_shipway-runtime-test");

/// A data folder, ended with all that runs in it.
pub struct Data {
    pub folder: tempfile::TempDir,
}

impl Data {
    pub fn new() -> Self {
        Self { folder: tempfile::Builder::new().prefix("shipway-test-").tempdir().unwrap() }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub async fn runtime(&self) -> ProcessRuntime {
        self.runtime_with(ProcessOptions::default()).await
    }

    pub async fn runtime_with(&self, options: ProcessOptions) -> ProcessRuntime {
        ProcessRuntime::open(self.path(), Path::new(BINARY), options).await.unwrap()
    }

    /// A folder that any user's processes can write to and that no view hides.
    pub fn shared(&self) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let folder = visible().join(self.path().file_name().unwrap());
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
        folder
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        // Keepers and shims end by themselves when their folder is gone.
        let shared = visible().join(self.path().file_name().unwrap());
        let _ = std::fs::remove_dir_all(shared);
    }
}

/// A folder for tests that every view shows and every user reaches: the build's own, unless it lies where views
/// have a private folder or behind one that is closed to others.
fn visible() -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let base = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let private = ["/tmp", "/var/tmp", "/dev/shm"].iter().any(|hidden| base.starts_with(hidden));
    let open = |folder: &Path| std::fs::metadata(folder).is_ok_and(|data| data.permissions().mode() & 1 == 1);
    let root = rustix::process::geteuid().is_root();
    if root && (private || !base.ancestors().all(open)) { PathBuf::from("/run") } else { base }
}

/// A free port outside the range of outgoing connections, which could take it in the meantime.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let offset =
            (std::process::id() as u16).wrapping_mul(37).wrapping_add(NEXT.fetch_add(1, Ordering::SeqCst));
        let port = 11_000 + offset % 8_000;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

pub fn target() -> Target {
    Target {
        project: ProjectId::new(uuid::Uuid::now_v7()),
        id: ResourceId::new(uuid::Uuid::now_v7()),
        slug: "web".to_owned(),
    }
}

pub fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Where the test program can be executed by any user: not below root's home.
pub fn place(data: &Data, target: &Target) -> Place {
    let app = data.path().join("app");
    if !app.exists() {
        std::fs::create_dir_all(&app).unwrap();
        std::fs::copy(BINARY, app.join("program")).unwrap();
    }
    let folders =
        vec![shipway_executor::runtime::Folder { path: app.clone(), name: "app".into(), writable: false }];
    Place { owner: target.id.to_string(), folders, directory: app, tools: false }
}

pub fn service(data: &Data, target: &Target, port: u16, fence: u64, version: &str) -> Deployment {
    Deployment {
        target: target.clone(),
        fence: Fence::from_raw(fence),
        effect_key: format!("run/{fence}"),
        keeping: Keeping::Proxied,
        artifact: None,
        place: place(data, target),
        instances: 2,
        words: vec!["./program".into(), "serve".into()],
        environment: map(&[("VERSION", version)]),
        secret_names: BTreeMap::new(),
        secrets: BTreeMap::new(),
        ports: vec![Port { name: "http".into(), public: port, http: true }],
        health: vec![HealthCheck {
            path: Some("/health".into()),
            port: None,
            period_ms: 50,
            timeout_ms: 1000,
            successes: 2,
            failures: 3,
        }],
        grace_seconds: 10,
        timeout: Duration::from_secs(30),
    }
}

pub fn task(data: &Data, target: &Target, key: &str, words: &[&str]) -> Task {
    Task {
        id: TaskId { effect_key: key.to_owned(), attempt: 1, step: "job".to_owned() },
        fence: Fence::from_raw(1),
        place: place(data, target),
        words: words.iter().map(|word| (*word).to_owned()).collect(),
        environment: BTreeMap::new(),
        secrets: BTreeMap::new(),
        files: BTreeMap::new(),
        mask: Vec::new(),
        log: data.path().join("host/logs/run/1.log"),
        log_limit: 64 << 20,
        stdin: None,
        stdout: None,
        deadline: None,
        grace: Duration::from_secs(2),
    }
}

/// Waits until it holds; fails after 30 s.
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(30);
    while !holds().await {
        assert!(Instant::now() < until, "not within 30 s: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Kills every process whose command line holds `text`.
pub fn kill(text: &str) {
    for pid in processes(text) {
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

/// Every process whose command line holds `text`.
pub fn processes(text: &str) -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| {
            std::fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| String::from_utf8_lossy(&line).replace('\0', " ").contains(text))
        })
        .collect()
}

/// Every path below a folder.
pub fn walk(folder: &Path) -> Vec<String> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        all.push(entry.path().display().to_string());
        if entry.path().is_dir() {
            all.extend(walk(&entry.path()));
        }
    }
    all
}
