//! An S3 of a test's own, over HTTP, with keys that are checked; its objects are files in a folder. It can be told to
//! fail.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread::JoinHandle,
};

use anyhow::{Context, Result};
use hyper::{Response, StatusCode, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use s3s::{
    auth::SimpleAuth,
    service::{S3Service, S3ServiceBuilder},
};
use tokio::{net::TcpListener, sync::oneshot};

/// The name of the key that the server knows.
pub const ACCESS_KEY: &str = "shipway-test";

/// The key.
pub const SECRET_KEY: &str = "shipway-test-secret";

/// A running server; gone with the value, its objects with it.
#[derive(Debug)]
pub struct S3 {
    folder: tempfile::TempDir,
    address: SocketAddr,
    failing: Arc<AtomicU32>,
    asked: Arc<AtomicU32>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl S3 {
    /// Starts a server on a free port of 127.0.0.1, with one bucket of this name.
    ///
    /// # Errors
    /// If there is no port, or no place for the objects.
    pub fn start(bucket: &str) -> Result<Self> {
        Self::start_at(Ipv4Addr::LOCALHOST.into(), bucket)
    }

    /// Starts a server at an address of this machine.
    ///
    /// # Errors
    /// If there is no port, or no place for the objects.
    pub fn start_at(address: IpAddr, bucket: &str) -> Result<Self> {
        let folder = tempfile::tempdir().context("making the folder of the objects")?;
        fs::create_dir(folder.path().join(bucket)).context("making the bucket")?;
        let files = s3s_fs::FileSystem::new(folder.path())
            .map_err(|error| anyhow::anyhow!("opening the folder of the objects: {error:?}"))?;
        let mut service = S3ServiceBuilder::new(files);
        service.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let (failing, asked) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let shared = (service.build(), Arc::clone(&failing), Arc::clone(&asked));
        let (stop, stopped) = oneshot::channel();
        let (ready, listening) = mpsc::channel();
        // A thread of its own: tests without a runtime use it too.
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.expect("a runtime can be made");
            runtime.block_on(async move {
                let listener = TcpListener::bind((address, 0)).await.expect("there is a free port");
                ready.send(listener.local_addr().expect("a listener has an address")).expect("it is awaited");
                tokio::select! {
                    () = serve(listener, shared) => {}
                    _ = stopped => {}
                }
            });
        });
        let address = listening.recv().context("starting the server")?;
        Ok(Self { folder, address, failing, asked, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it answers: `http://127.0.0.1:<port>`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The folder that an object is the file of, and its parts the folders.
    #[must_use]
    pub fn files(&self, bucket: &str) -> PathBuf {
        self.folder.path().join(bucket)
    }

    /// Answers the next requests with 503.
    pub fn fail_next(&self, requests: u32) {
        self.failing.store(requests, Ordering::SeqCst);
    }

    /// How many requests came so far.
    #[must_use]
    pub fn asked(&self) -> u32 {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // It may have ended by itself.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(listener: TcpListener, shared: (S3Service, Arc<AtomicU32>, Arc<AtomicU32>)) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let shared = shared.clone();
        tokio::spawn(async move {
            let answer = service_fn(move |request| {
                let (service, failing, asked) = shared.clone();
                async move {
                    asked.fetch_add(1, Ordering::SeqCst);
                    let fails =
                        failing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
                    if fails.is_ok() {
                        let mut busy = Response::new(s3s::Body::from("SlowDown".to_owned()));
                        *busy.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                        return Ok(busy);
                    }
                    hyper::service::Service::call(&service, request).await
                }
            });
            // A client that goes away is none of the server's business.
            let _ =
                auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

/// The files under a folder, without the server's own notes.
#[must_use]
pub fn objects(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let own = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if path.is_dir() {
            found.extend(objects(&path));
        } else if !own {
            found.push(path);
        }
    }
    found
}
