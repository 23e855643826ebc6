//! How the executor starts shims, waits for them and finds them again.

use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

use super::protocol::{EXIT, Ended, Input, Request, SOCKET, SPEC, STARTED, Spec};
use crate::{
    lease::Deadlines,
    os::{files, procfs, stage::Starter, wire},
};

/// Ended shims' folders are kept so long, for whoever asks again.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// All shims of an executor.
#[derive(Clone, Debug)]
pub(crate) struct Shims {
    folder: PathBuf,
    starter: Starter,
    /// Those that may run: they hear of renewed leases.
    alive: Arc<Mutex<BTreeSet<PathBuf>>>,
}

/// A shim that does not answer so fast hears of the next renewal.
const RENEWAL: Duration = Duration::from_secs(2);

/// The shim died with its command (or the machine did): started, end unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the process was started, and its shim died before it had recorded an end")]
pub(crate) struct Lost;

impl Shims {
    pub(crate) fn new(folder: PathBuf, starter: Starter) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let shims = Self { folder, starter, alive: Arc::default() };
        let left = shims.all()?.into_iter().filter(|(_, _, ended)| ended.is_none());
        shims.alive().extend(left.map(|(folder, ..)| folder));
        Ok(shims)
    }

    /// The folder of this step of this attempt: the same every time it is asked for.
    fn of(&self, spec: &Spec) -> PathBuf {
        let name = format!("{}\0{}\0{}", spec.effect_key, spec.attempt, spec.step);
        self.folder.join(&hex::encode(Sha256::digest(name))[..32])
    }

    /// Starts it, unless it was started before. After this it runs, has ended, or is lost.
    pub(crate) async fn start(&self, spec: &Spec, input: &Input) -> io::Result<PathBuf> {
        let folder = self.of(spec);
        self.alive().insert(folder.clone());
        if folder.join(STARTED).exists() {
            return Ok(folder);
        }
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        files::write_json(&folder.join(SPEC), spec)?;
        let mut child = self
            .starter
            .command("shim")
            .arg(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            let bytes = serde_json::to_vec(input).map_err(io::Error::other)?;
            // A shim that could not start does not read; its own error says why.
            let _ = stdin.write_all(&bytes).await;
        }
        let output = child.wait_with_output().await?;
        if output.status.success() {
            return Ok(folder);
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(io::Error::other(if said.is_empty() {
            format!("the shim ended: {}", output.status)
        } else {
            said
        }))
    }

    /// Waits for its end.
    pub(crate) async fn wait(&self, folder: &Path) -> io::Result<Result<Ended, Lost>> {
        self.end_of(folder, Request::Wait).await
    }

    /// Ends it and waits for its end.
    pub(crate) async fn stop(&self, folder: &Path, grace: Duration) -> io::Result<Result<Ended, Lost>> {
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        self.end_of(folder, Request::Stop { grace_ms }).await
    }

    /// Tells all that run of the lease's new end.
    pub(crate) async fn renew(&self, lease: Deadlines) {
        let alive: Vec<PathBuf> = self.alive().iter().cloned().collect();
        let tell = |folder: PathBuf| async move {
            let told = tokio::time::timeout(RENEWAL, async {
                let mut socket = wire::connect(&folder, SOCKET).await?;
                wire::send_async(&mut socket, &Request::Renew { lease }).await?;
                wire::receive_async::<bool>(&mut socket).await
            });
            if matches!(told.await, Ok(Ok(true))) {
                return;
            }
            // It ends, or has ended; one that is slow or young stays on the list.
            if folder.join(EXIT).exists() || !folder.exists() {
                self.alive().remove(&folder);
            }
        };
        futures::future::join_all(alive.into_iter().map(tell)).await;
    }

    async fn end_of(&self, folder: &Path, request: Request) -> io::Result<Result<Ended, Lost>> {
        let ended = self.ask(folder, request).await;
        if matches!(ended, Ok(Ok(_))) {
            self.alive().remove(folder);
        }
        ended
    }

    async fn ask(&self, folder: &Path, request: Request) -> io::Result<Result<Ended, Lost>> {
        if let Ok(mut socket) = wire::connect(folder, SOCKET).await
            && wire::send_async(&mut socket, &request).await.is_ok()
        {
            // An error when it dies without an end; the folder knows more then.
            if let Ok(Some(ended)) = wire::receive_async::<Option<Ended>>(&mut socket).await {
                return Ok(Ok(ended));
            }
        }
        if let Some(ended) = files::read_json::<Ended>(&folder.join(EXIT))? {
            return Ok(Ok(ended));
        }
        // Dead without a record; or so young that its socket was not there yet, but then it holds the lock.
        for _ in 0..200 {
            if files::try_lock(&folder.join("lock"))?.is_some() {
                return Ok(files::read_json::<Ended>(&folder.join(EXIT))?.ok_or(Lost));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
            if let Some(ended) = files::read_json::<Ended>(&folder.join(EXIT))? {
                return Ok(Ok(ended));
            }
        }
        Ok(Err(Lost))
    }

    fn alive(&self) -> MutexGuard<'_, BTreeSet<PathBuf>> {
        self.alive.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets a shim that was lost or cut short, where doing the work again is harmless.
    pub(crate) fn forget(&self, folder: &Path) -> io::Result<()> {
        fs::remove_dir_all(folder)
    }

    /// The process that a shim waits for, or the shim itself; none where neither is there.
    pub(crate) fn process(folder: &Path) -> Option<u32> {
        let shims = procfs::with_arguments(&["shim", &folder.to_string_lossy()]);
        let below = shims.iter().flat_map(|shim| procfs::descendants(*shim)).collect::<Vec<_>>();
        let process = below.iter().rev().find(|process| !shims.contains(process)).or(shims.last())?;
        u32::try_from(*process).ok()
    }

    /// Every shim with what it does and how it ended.
    pub(crate) fn all(&self) -> io::Result<Vec<(PathBuf, Spec, Option<Ended>)>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let folder = entry?.path();
            if let Ok(Some(spec)) = files::read_json(&folder.join(SPEC)) {
                let ended = files::read_json(&folder.join(EXIT)).ok().flatten();
                all.push((folder, spec, ended));
            }
        }
        Ok(all)
    }

    /// Ends the shims that `keep` does not name. Gives back how many it ended.
    pub(crate) async fn sweep(&self, keep: impl Fn(&Spec) -> bool) -> io::Result<usize> {
        let mut ended = Vec::new();
        for (folder, spec, end) in self.all()? {
            if end.is_some() || keep(&spec) {
                continue;
            }
            let shims = self.clone();
            ended.push(tokio::spawn(async move { shims.stop(&folder, Duration::from_secs(1)).await }));
        }
        let count = ended.len();
        for stopped in ended {
            if let Ok(Err(error)) = stopped.await {
                tracing::warn!(%error, "a process of an earlier attempt could not be ended");
            }
        }
        Ok(count)
    }

    /// Removes the old folders of shims that have ended or were lost, but for those that `keep` names: who asks for one of
    /// these again must hear how it went. Gives back how many it removed.
    pub(crate) fn expire(&self, keep: impl Fn(&Spec) -> bool) -> io::Result<usize> {
        let mut expired = 0;
        for (folder, spec, end) in self.all()? {
            let last = if end.is_some() { EXIT } else { SPEC };
            let age = fs::metadata(folder.join(last))?.modified()?.elapsed().unwrap_or_default();
            if age <= KEPT || keep(&spec) {
                continue;
            }
            // One that runs holds its lock, however old it is.
            if end.is_none() && files::try_lock(&folder.join("lock"))?.is_none() {
                continue;
            }
            self.forget(&folder)?;
            self.alive().remove(&folder);
            expired += 1;
        }
        Ok(expired)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, process::Command, time::SystemTime};

    use serde_json::json;

    use super::*;
    use crate::sandbox::Sandbox;

    /// A shim's folder that was last written to so many days ago.
    fn shim(shims: &Shims, key: &str, days: u64, ended: bool) -> PathBuf {
        let folder = shims.folder.join(key);
        fs::create_dir(&folder).unwrap();
        let spec = json!({
            "effectKey": key, "attempt": 1, "step": "job", "words": [], "environment": {}, "sandbox": Sandbox::default(),
            "log": "log", "graceMs": 0,
        });
        let end = json!({ "exit": null, "error": null, "timedOut": false, "stopped": true, "tail": [] });
        let files = [(SPEC, spec)].into_iter().chain(ended.then_some((EXIT, end)));
        for (name, value) in files {
            files::write_json(&folder.join(name), &value).unwrap();
            let at = SystemTime::now() - Duration::from_secs(days * 24 * 3600);
            File::options().write(true).open(folder.join(name)).unwrap().set_modified(at).unwrap();
        }
        folder
    }

    #[test]
    fn what_ended_or_was_lost_long_ago_expires_unless_its_node_goes_on_or_it_runs() {
        let data = tempfile::tempdir().unwrap();
        let starter = Starter { binary: "shipway".into(), namespaces: false };
        let shims = Shims::new(data.path().join("shims"), starter).unwrap();
        let expected = [
            (shim(&shims, "ended", 8, true), false),
            (shim(&shims, "lost", 8, false), false),
            (shim(&shims, "ended lately", 6, true), true),
            (shim(&shims, "lost lately", 6, false), true),
            (shim(&shims, "goes on", 8, true), true),
            (shim(&shims, "runs", 8, false), true),
        ];
        let _lock = files::try_lock(&expected[5].0.join("lock")).unwrap().unwrap();
        shims.alive().insert(expected[1].0.clone());
        assert_eq!(shims.all().unwrap().len(), expected.len(), "every spec can be read");
        assert_eq!(shims.expire(|spec| spec.effect_key == "goes on").unwrap(), 2);
        for (folder, stays) in expected {
            assert_eq!(folder.exists(), stays, "{}", folder.display());
        }
        assert!(shims.alive().is_empty(), "what is gone hears of no lease");
    }

    #[test]
    fn the_process_below_a_shim_is_found_by_the_shims_folder() {
        let folder = tempfile::tempdir().unwrap();
        // A shim is known by its words; this one waits for a process, too.
        let script = "sleep 600; true";
        let mut shim = Command::new("sh").args(["-c", script, "shim"]).arg(folder.path()).spawn().unwrap();
        let (below, own) = loop {
            let below = procfs::descendants(shim.id().cast_signed());
            if let [one] = below[..] {
                break (one, Shims::process(folder.path()));
            }
            std::thread::yield_now();
        };
        for process in [below, shim.id().cast_signed()] {
            procfs::signal(process, rustix::process::Signal::KILL);
        }
        shim.wait().unwrap();
        assert_eq!(own, Some(below.cast_unsigned()));
        assert_eq!(Shims::process(folder.path()), None);
    }
}
