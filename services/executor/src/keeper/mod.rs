//! The keeper: a small process without async runtime that keeps one service or addon running, serves its public
//! ports and outlives Shipway.

mod health;
mod instance;
mod logs;
pub(crate) mod protocol;
mod proxy;
pub(crate) mod record;
mod rollout;
mod routes;
mod state;

use std::{
    env,
    ffi::OsString,
    fs,
    io::{self, BufReader},
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        net::{UnixListener, UnixStream},
    },
    path::Path,
    process::ExitCode,
    sync::Arc,
    thread,
    time::Duration,
};

use protocol::{Reply, Request, SOCKET, VERSION};
use state::Keeper;

use crate::os::{
    files,
    stage::{self, Stage},
    wire,
};

pub use protocol::Phase;
pub(crate) use proxy::join;

/// What the keeper itself has to say, in its folder.
pub(crate) const LOG: &str = "keeper.log";
/// The log of the instances, in its folder.
pub(crate) const SERVICE_LOG: &str = "service.log";

/// `shipway keeper <dir>`: called before any thread is started. Detaches, and keeps what the folder's record and
/// the requests on its socket say, until it is told to stop or its folder is gone.
#[must_use]
pub fn main(folder: &Path) -> ExitCode {
    let stage = Stage::of_process();
    if stage == Stage::Outer {
        let Ok(folder) = folder.canonicalize() else {
            eprintln!("shipway keeper: {} is no folder", folder.display());
            return ExitCode::FAILURE;
        };
        let arguments: Vec<OsString> = vec!["keeper".into(), folder.clone().into()];
        return stage::detach(&arguments, &folder, LOG, &[]);
    }
    match run(stage, folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{} keeper: {error}", jiff::Timestamp::now());
            stage::answer(Err(&format!("the keeper of {} ended: {error}", folder.display())));
            ExitCode::FAILURE
        }
    }
}

fn run(stage: Stage, folder: &Path) -> io::Result<()> {
    stage::settle(stage)?;
    env::set_current_dir(folder)?;
    let Some(lock) = files::try_lock(Path::new("lock"))? else {
        // Another one is at work already: as good as this one.
        stage::answer(Ok(()));
        return Ok(());
    };
    let keeper = Arc::new(Keeper::open(folder)?);
    // The folder may be deeper than a socket's path can be long, so it is bound from inside.
    match fs::remove_file(SOCKET) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = UnixListener::bind(SOCKET)?;
    fs::set_permissions(SOCKET, fs::Permissions::from_mode(0o600))?;
    stage::answer(Ok(()));
    Keeper::resume(&keeper);
    let watched = Arc::clone(&keeper);
    let folder = folder.to_owned();
    thread::spawn(move || watch_folder(&folder, &watched));
    for client in socket.incoming() {
        match client {
            Ok(client) => {
                let keeper = Arc::clone(&keeper);
                thread::spawn(move || serve(&client, &keeper));
            }
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
    drop(lock);
    Ok(())
}

fn serve(client: &UnixStream, keeper: &Arc<Keeper>) {
    let Ok(request) = wire::receive::<Request>(BufReader::new(client)) else { return };
    let stop = matches!(request, Request::Stop);
    let reply = match request {
        Request::Hello => Reply::Hello { version: VERSION },
        Request::Apply(apply) => keeper.apply(*apply),
        Request::Secrets { values } => keeper.take_secrets(values),
        Request::Status => Reply::Status(Box::new(keeper.status())),
        Request::Restart { fence, effect_key, timeout_ms } => keeper.restart(fence, effect_key, timeout_ms),
        Request::Cancel { fence } => keeper.cancel(fence),
        Request::Stop => keeper.stop(),
    };
    if stop {
        let _ = fs::remove_file(SOCKET);
    }
    let _ = wire::send(client, &reply);
    if stop {
        std::process::exit(0);
    }
}

/// A keeper without its folder has nothing to keep.
fn watch_folder(folder: &Path, keeper: &Keeper) {
    let identity = |path: &Path| fs::metadata(path).map(|data| (data.dev(), data.ino()));
    let Ok(own) = identity(folder) else { std::process::exit(0) };
    loop {
        thread::sleep(Duration::from_secs(1));
        if identity(folder).ok() != Some(own) || !folder.join("lock").exists() {
            keeper.stop();
            std::process::exit(0);
        }
    }
}
