//! Ways to targets on other hosts: a small process without async runtime that listens where the instances of this host
//! look for a target (its public port on 127.0.0.1) and hands the bytes to the host that it lives on. Like a keeper
//! it outlives Shipway; it starts again from its record. There is one for all ways of a host.

mod client;
mod forward;
mod protocol;

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

pub(crate) use client::Ways;
pub(crate) use protocol::Route;

use forward::Table;
use protocol::{RECORD, Reply, Request, SOCKET, VERSION};

use crate::os::{
    files,
    stage::{self, Stage},
    wire,
};

/// A target that lives on another host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Way {
    /// Its public port, on this host and on the other.
    pub port: u16,
    /// The other host: an address or a name.
    pub host: String,
}

const LOG: &str = "way.log";

/// `shipway way <dir>`: called before any thread is started. Detaches and forwards what the folder's record and the
/// requests on its socket say, until it is told to stop or its folder is gone.
#[must_use]
pub fn main(folder: &Path) -> ExitCode {
    let stage = Stage::of_process();
    if stage == Stage::Outer {
        let Ok(folder) = folder.canonicalize() else {
            eprintln!("shipway way: {} is no folder", folder.display());
            return ExitCode::FAILURE;
        };
        let arguments: Vec<OsString> = vec!["way".into(), folder.clone().into()];
        return stage::detach(&arguments, &folder, LOG, &[]);
    }
    match run(stage, folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{} way: {error}", jiff::Timestamp::now());
            stage::answer(Err(&format!("the ways in {} ended: {error}", folder.display())));
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
    let table = Arc::new(Table::default());
    let recorded: Option<Vec<Route>> = files::read_json(Path::new(RECORD))?;
    table.set(recorded.unwrap_or_default());
    match fs::remove_file(SOCKET) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // The folder may be deeper than a socket's path can be long, so it is bound from inside.
    let socket = UnixListener::bind(SOCKET)?;
    fs::set_permissions(SOCKET, fs::Permissions::from_mode(0o600))?;
    stage::answer(Ok(()));
    let (watched, opening) = (folder.to_owned(), Arc::clone(&table));
    thread::spawn(move || watch_folder(&watched));
    thread::spawn(move || opening.keep_open());
    for client in socket.incoming() {
        match client {
            Ok(client) => {
                let table = Arc::clone(&table);
                thread::spawn(move || serve(&client, &table));
            }
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
    drop(lock);
    Ok(())
}

fn serve(client: &UnixStream, table: &Table) {
    let Ok(request) = wire::receive::<Request>(BufReader::new(client)) else { return };
    let stop = matches!(request, Request::Stop);
    let reply = match request {
        Request::Hello => Reply::Hello { version: VERSION },
        Request::Set { routes } => {
            // Recorded first: after a crash it forwards what it was told last.
            let recorded = files::write_json(Path::new(RECORD), &routes);
            table.set(routes);
            opened(table, recorded)
        }
        Request::Release { ports } => {
            table.release(&ports);
            let recorded = files::read_json::<Vec<Route>>(Path::new(RECORD)).and_then(|known| {
                let mut routes = known.unwrap_or_default();
                routes.retain(|route| !ports.contains(&route.listen.port()));
                // Or the next start would take them before their keeper.
                files::write_json(Path::new(RECORD), &routes)
            });
            opened(table, recorded)
        }
        Request::Stop => {
            table.set(Vec::new());
            let _ = fs::remove_file(SOCKET);
            Reply::Open { closed: Vec::new() }
        }
    };
    let _ = wire::send(client, &reply);
    if stop {
        std::process::exit(0);
    }
}

fn opened(table: &Table, recorded: io::Result<()>) -> Reply {
    match recorded {
        Ok(()) => Reply::Open { closed: table.closed() },
        Err(error) => Reply::Failed { message: format!("writing the record of ways failed: {error}") },
    }
}

/// Without its folder there is nothing to forward.
fn watch_folder(folder: &Path) {
    let identity = |path: &Path| fs::metadata(path).map(|data| (data.dev(), data.ino()));
    let Ok(own) = identity(folder) else { std::process::exit(0) };
    while identity(folder).ok() == Some(own) && folder.join("lock").exists() {
        thread::sleep(Duration::from_secs(1));
    }
    std::process::exit(0);
}
