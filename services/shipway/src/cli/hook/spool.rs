//! Deliveries that are kept until they are delivered, oldest first, under the same id on every attempt.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use hmac::{Hmac, KeyInit, Mac};
use rustix::fs::{FlockOperation, flock};
use sha2::Sha256;
use uuid::Uuid;

use super::Config;
use crate::cli::{Failure, talk};

/// The folder of kept deliveries: one file each, named by its id, holding the very bytes that are signed.
#[derive(Debug)]
pub(crate) struct Spool(PathBuf);

impl Spool {
    /// The spool of the repository whose hook has this configuration; made when missing.
    pub(crate) fn beside(config_file: &Path) -> Result<Self, Failure> {
        let hooks = config_file.parent().unwrap_or(Path::new("."));
        let folder = hooks.join("../shipway-deliveries");
        fs::create_dir_all(&folder)
            .map_err(|error| Failure::new(format!("making {}: {error}", folder.display())))?;
        Ok(Self(folder))
    }

    /// Keeps a delivery, safe over a crash.
    pub(crate) fn keep(&self, payload: &[u8]) -> Result<(), Failure> {
        let name = Uuid::now_v7().to_string();
        let part = self.0.join(format!("{name}.part"));
        let told = |error| Failure::new(format!("keeping the delivery in {}: {error}", self.0.display()));
        let written = File::create(&part).and_then(|mut file| {
            file.write_all(payload)?;
            file.sync_all()?;
            fs::rename(&part, self.0.join(format!("{name}.json")))?;
            File::open(&self.0)?.sync_all()
        });
        if written.is_err() {
            // Nobody would ever look at it.
            let _ = fs::remove_file(&part);
        }
        written.map_err(told)
    }

    /// Delivers all that is kept. How many were delivered, or why one was not; the rest stays kept then.
    pub(crate) async fn flush(&self, config: &Config, timeout: Duration) -> Result<usize, String> {
        let client = client(timeout).map_err(|error| error.to_string())?;
        let mut sent = 0;
        for file in self.kept().map_err(|error| error.to_string())? {
            let Ok(payload) = fs::read(&file) else { continue };
            let id = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let request = client
                .post(&config.url)
                .header("content-type", "application/json")
                .header("x-github-event", "push")
                .header("x-github-delivery", &id)
                .header("x-hub-signature-256", signature(&config.secret, &payload))
                .body(payload);
            let answer = request.send().await.map_err(|error| plain(&error))?;
            let status = answer.status();
            match status.as_u16() {
                200..=299 => {
                    let _ = fs::remove_file(&file);
                    sent += 1;
                }
                // Would be refused again as it is: set aside, for a person to look at.
                400 | 413 | 422 => {
                    let aside = file.with_extension("refused");
                    let _ = fs::rename(&file, &aside);
                    talk(&format!(
                        "Shipway refused a delivery ({status}); it is kept as {}",
                        aside.display()
                    ));
                }
                _ => return Err(format!("it answered {status}")),
            }
        }
        Ok(sent)
    }

    /// A lock that one process at a time can hold; none if another holds it.
    pub(crate) fn only_one(&self) -> Result<Option<File>, Failure> {
        let file = OpenOptions::new().create(true).append(true).open(self.0.join("lock"))?;
        Ok(flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok().then_some(file))
    }

    /// Whether nothing is kept.
    pub(crate) fn is_empty(&self) -> Result<bool, Failure> {
        Ok(self.kept()?.is_empty())
    }

    fn kept(&self) -> std::io::Result<Vec<PathBuf>> {
        let mut files: Vec<_> = fs::read_dir(&self.0)?
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
            .collect();
        files.sort();
        Ok(files)
    }
}

/// The signature as Git hosts send it.
pub(crate) fn signature(secret: &str, payload: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of every length");
    mac.update(payload);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

fn client(timeout: Duration) -> reqwest::Result<reqwest::Client> {
    // Somebody may have installed one before: the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().timeout(timeout).connect_timeout(timeout).build()
}

fn plain(error: &reqwest::Error) -> String {
    if error.is_connect() {
        "nobody listens there".to_owned()
    } else if error.is_timeout() {
        "no answer in time".to_owned()
    } else {
        "the request failed".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use axum::{Router, body::Bytes, http::HeaderMap, routing::post};
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn the_signature_is_that_of_git_hosts() {
        // The example of GitHub's documentation.
        assert_eq!(
            signature("It's a Secret to Everybody", b"Hello, World!"),
            "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
        );
    }

    #[tokio::test]
    async fn what_cannot_be_delivered_is_kept_in_order_and_sent_under_the_same_id() {
        let root = tempfile::tempdir().unwrap();
        let hooks = root.path().join("hooks");
        fs::create_dir(&hooks).unwrap();
        let spool = Spool::beside(&hooks.join("shipway.json")).unwrap();
        spool.keep(b"one").unwrap();
        spool.keep(b"two").unwrap();
        let names = |spool: &Spool| {
            let stem = |path: &PathBuf| path.file_stem().unwrap().to_string_lossy().into_owned();
            spool.kept().unwrap().iter().map(stem).collect::<Vec<_>>()
        };
        let before = names(&spool);

        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = closed.local_addr().unwrap();
        drop(closed);
        let config = Config {
            url: format!("http://{address}/hooks/x"),
            secret: "s".to_owned(),
            repository: "r".to_owned(),
        };
        assert!(spool.flush(&config, Duration::from_secs(2)).await.is_err());
        assert_eq!(names(&spool), before);

        let got: Arc<Mutex<Vec<(String, Bytes)>>> = Arc::default();
        let seen = got.clone();
        let app = Router::new().route(
            "/hooks/x",
            post(|headers: HeaderMap, body: Bytes| async move {
                assert_eq!(headers["x-hub-signature-256"], signature("s", &body));
                let id = headers["x-github-delivery"].to_str().unwrap().to_owned();
                seen.lock().unwrap().push((id, body));
            }),
        );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config = Config { url: format!("http://{}/hooks/x", listener.local_addr().unwrap()), ..config };
        let server = tokio::spawn(async move { axum::serve(listener, app).await });
        assert_eq!(spool.flush(&config, Duration::from_secs(5)).await.unwrap(), 2);
        server.abort();
        assert!(names(&spool).is_empty());
        let got = got.lock().unwrap();
        assert_eq!(got.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>(), before);
        assert_eq!(got[0].1, "one");
    }

    #[test]
    fn one_process_at_a_time_tries_again() {
        let root = tempfile::tempdir().unwrap();
        let spool = Spool(root.path().to_owned());
        let held = spool.only_one().unwrap();
        assert!(held.is_some());
        assert!(spool.only_one().unwrap().is_none());
        drop(held);
        assert!(spool.only_one().unwrap().is_some());
    }
}
