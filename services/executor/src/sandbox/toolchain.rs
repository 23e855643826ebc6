//! Where the machine's language tools are, and how a child that cannot see root's home gets at them.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    path::{Path, PathBuf},
    process::Command,
};

use super::{Bind, PATH, VIEW};

/// The Rust toolchain and the search path that builds use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Toolchain {
    /// The folder that holds `bin/cargo` and `bin/rustc`.
    pub(crate) rust: Option<PathBuf>,
    /// More folders with programs: those of the `PATH` that Shipway was started with.
    pub(crate) folders: Vec<PathBuf>,
    /// Variables that say how the network is reached.
    pub(crate) network: BTreeMap<String, String>,
    cargo_config: Option<PathBuf>,
}

const NETWORK: [&str; 9] = [
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
];

impl Toolchain {
    /// Looks for it. The toolchain is the machine's default one: what a repository asks for in its
    /// `rust-toolchain.toml` is not looked at here, because that file can name programs to run.
    pub(crate) fn find() -> Self {
        let sysroot = Command::new("rustc").args(["--print", "sysroot"]).current_dir("/").output().ok();
        let rust = sysroot
            .filter(|output| output.status.success())
            .map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
            .filter(|sysroot| sysroot.join("bin/cargo").exists());
        let folders =
            env::var_os("PATH").iter().flat_map(env::split_paths).filter(|path| path.is_dir()).collect();
        let network =
            NETWORK.iter().filter_map(|name| Some(((*name).to_owned(), env::var(name).ok()?))).collect();
        let home = env::var_os("CARGO_HOME").map(PathBuf::from);
        let home = home.or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")));
        let cargo_config = home.map(|home| home.join("config.toml")).filter(|config| config.is_file());
        Self { rust, folders, network, cargo_config }
    }

    /// Cargo's configuration on this machine: where crates come from. Credentials are another file.
    pub(crate) fn cargo_config(&self) -> Option<&Path> {
        self.cargo_config.as_deref()
    }

    /// The search path for a child, and what it needs to see for it.
    pub(crate) fn path(&self, private: bool) -> (String, Vec<Bind>) {
        let mut folders = Vec::new();
        let mut binds = Vec::new();
        if let Some(rust) = &self.rust {
            let target = Path::new(VIEW).join("rust");
            let seen = if private { target.clone() } else { rust.clone() };
            folders.push(seen.join("bin"));
            if private {
                binds.push(Bind { source: rust.clone(), target, writable: false });
            }
        }
        // Rustup's proxies would look for a home that the child does not have.
        folders.extend(self.folders.iter().filter(|folder| !folder.join("rustup").exists()).cloned());
        folders.extend(env::split_paths(PATH));
        let mut known = BTreeSet::new();
        folders.retain(|folder| known.insert(folder.clone()));
        let text = env::join_paths(folders).map(|path| path.to_string_lossy().into_owned());
        (text.unwrap_or_else(|_| PATH.to_owned()), binds)
    }
}
