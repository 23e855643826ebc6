//! The launcher: from a spec to the child.

use std::{
    env,
    ffi::OsString,
    fs::{self, File},
    io,
    os::{fd::AsRawFd, unix::process::CommandExt},
    path::Path,
    process::{Command, ExitCode},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustix::{
    fs::{Mode, OFlags},
    mount::{MountFlags, MountPropagationFlags},
    process::{Gid, Signal, Uid},
    thread::UnshareFlags,
};

use shipway_repository::MemoryFile;
use zeroize::Zeroizing;

use super::{Sandbox, VIEW, View};
use crate::os::stage;

/// `shipway sandbox …`: called before any thread is started, with the words after `sandbox`. Returns only
/// when the child could not be started: 126 when something was refused, 127 when there is no such program.
#[must_use]
pub fn main(words: &[OsString]) -> ExitCode {
    match words.first().and_then(|word| word.to_str()) {
        Some("--probe-namespace") => return stage::probe_main(false),
        Some("--probe-namespace-inner") => return stage::probe_main(true),
        _ => {}
    }
    let (Some(spec), Some(program)) = (words.first(), words.get(2)) else {
        eprintln!("shipway sandbox: internal command; it takes a spec, `--` and the words to execute");
        return ExitCode::from(126);
    };
    let mut command = Command::new(program);
    let prepared = spec
        .to_str()
        .ok_or_else(|| io::Error::other("the spec is not text"))
        .and_then(|spec| serde_json::from_str::<Sandbox>(spec).map_err(io::Error::other))
        .and_then(|sandbox| enter(&sandbox).and_then(|()| keep_files(&sandbox.files, &mut command)));
    if let Err(error) = prepared {
        eprintln!("shipway: preparing the place for `{}` failed: {error}", program.to_string_lossy());
        return ExitCode::from(126);
    }
    let error = command.args(&words[3..]).exec();
    eprintln!("shipway: executing `{}` failed: {error}", program.to_string_lossy());
    ExitCode::from(if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 })
}

fn enter(sandbox: &Sandbox) -> io::Result<()> {
    let step =
        |what: &'static str| move |error: io::Error| io::Error::new(error.kind(), format!("{what}: {error}"));
    let _ = rustix::process::setsid();
    rustix::process::umask(Mode::from_raw_mode(0o022));
    if let Some(view) = &sandbox.view {
        show(view, sandbox.user).map_err(step("private mount namespace"))?;
    }
    if let Some(user) = sandbox.user {
        become_user(user).map_err(step("change of user"))?;
    }
    rustix::thread::set_no_new_privs(true)?;
    if rustix::process::getppid().is_none_or(|parent| !parent.is_init()) {
        // In a PID namespace the kernel ends everything with its root; elsewhere this is what is left.
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    }
    env::set_current_dir(&sandbox.directory).map_err(|error| {
        io::Error::new(error.kind(), format!("working directory {}: {error}", sandbox.directory.display()))
    })
}

/// Puts values of variables, which are base64, into files in memory, which go with this process when it becomes the program. Its
/// environment holds the files' paths only.
fn keep_files(variables: &[String], command: &mut Command) -> io::Result<()> {
    for name in variables {
        let value = Zeroizing::new(env::var(name).map_err(io::Error::other)?);
        let contents =
            STANDARD.decode(value.as_bytes()).map_err(|_| io::Error::other("a file is not base64"))?;
        let file = MemoryFile::handed_on(&Zeroizing::new(contents))?;
        command.env(name, file.path());
        file.keep();
    }
    Ok(())
}

fn become_user(user: u32) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(user), Gid::from_raw(user));
    rustix::thread::set_thread_groups(&[])?;
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    Ok(())
}

fn show(view: &View, user: Option<u32>) -> io::Result<()> {
    stage::unshare(UnshareFlags::NEWNS)?;
    rustix::mount::mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
    // Descriptors first: what follows hides the paths.
    let mut sources = Vec::new();
    for bind in &view.binds {
        let opened = rustix::fs::open(&bind.source, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
        sources.push(opened.map_err(|error| {
            let error = io::Error::from(error);
            io::Error::new(error.kind(), format!("{}: {error}", bind.source.display()))
        })?);
    }
    if !Path::new(VIEW).is_dir() {
        fs::create_dir(VIEW)?;
    }
    tmpfs(Path::new(VIEW), c"mode=755")?;
    for (bind, source) in view.binds.iter().zip(&sources) {
        fs::create_dir_all(&bind.target)?;
        let source = format!("/proc/self/fd/{}", source.as_raw_fd());
        rustix::mount::mount_bind_recursive(source.as_str(), &bind.target)?;
        if !bind.writable {
            let flags = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID;
            rustix::mount::mount_remount(&bind.target, flags, c"")?;
        }
    }
    for hidden in view.hide.iter().map(std::path::PathBuf::as_path) {
        if hidden.is_dir() {
            tmpfs(hidden, c"mode=000")?;
        }
    }
    for temporary in ["/tmp", "/var/tmp", "/dev/shm"] {
        if Path::new(temporary).is_dir() {
            tmpfs(Path::new(temporary), c"mode=1777")?;
        }
    }
    if let Some(user) = user {
        name_user(user)?;
    }
    Ok(())
}

fn tmpfs(at: &Path, options: &std::ffi::CStr) -> io::Result<()> {
    Ok(rustix::mount::mount("tmpfs", at, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, options)?)
}

/// Programs such as `initdb` insist that their user has a name.
fn name_user(user: u32) -> io::Result<()> {
    let lines = [
        ("/etc/passwd", format!("shipway{user}:x:{user}:{user}::{VIEW}/home:/bin/sh\n")),
        ("/etc/group", format!("shipway{user}:x:{user}:\n")),
    ];
    for (path, line) in lines {
        let Ok(mut text) = fs::read_to_string(path) else { continue };
        if text.lines().any(|known| known.split(':').nth(2) == Some(user.to_string().as_str())) {
            continue;
        }
        if !text.ends_with('\n') {
            text.push('\n');
        }
        let own = format!("{VIEW}/.{}", path.trim_start_matches("/etc/"));
        fs::write(&own, text + &line)?;
        File::open(&own)?;
        rustix::mount::mount_bind(own.as_str(), path)?;
    }
    Ok(())
}
