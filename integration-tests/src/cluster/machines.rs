//! Machines of a test's own: network namespaces on a bridge. A process on one shares no network with the others but
//! the cable, and the cable can be cut.
//!
//! The test itself stands on the bridge, as a server room does: PostgreSQL, NATS, object storage and the load
//! balancer run there and are reached by the machines at [`Network::here`].

use std::{
    ffi::OsStr,
    fs,
    net::Ipv4Addr,
    path::Path,
    process::Command,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// How the names of all that is made begin. The process number follows: what a killed test has left is found by it.
const PREFIX: &str = "swt";

/// A bridge with machines.
#[derive(Debug)]
pub struct Network {
    bridge: Arc<Bridge>,
}

#[derive(Debug)]
struct Bridge {
    name: String,
    /// The third part of its addresses: `10.213.<number>.0/24`.
    number: u8,
    machines: AtomicU8,
}

/// A machine on the bridge; gone with the value and its clones.
#[derive(Clone, Debug)]
pub struct Machine(Arc<Namespace>);

#[derive(Debug)]
struct Namespace {
    name: String,
    /// The end of the cable at the bridge.
    cable: String,
    address: Ipv4Addr,
    _bridge: Arc<Bridge>,
}

impl Network {
    /// Makes a bridge.
    ///
    /// # Errors
    /// Without the right to do so, or without `ip`.
    pub fn new() -> Result<Self> {
        // Where tests are threads of one process, their bridges would have the same name.
        static MAKING: Mutex<()> = Mutex::new(());
        let _turn = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
        sweep();
        let pid = std::process::id();
        for number in 0..=254 {
            // A bridge's address is what tests side by side compete for: whoever gets it has the network.
            let name = format!("{PREFIX}{pid}b{number}");
            let address = format!("10.213.{number}.1/24");
            if ip(&["-o", "addr", "show", "to", &address])?.is_empty() {
                ip(&["link", "add", &name, "type", "bridge"]).context(
                    "machines are network namespaces: making them needs root and the package iproute2",
                )?;
                let bridge = Bridge { name, number, machines: AtomicU8::new(1) };
                ip(&["addr", "add", &address, "dev", &bridge.name])?;
                ip(&["link", "set", &bridge.name, "up"])?;
                // Another test may have come to the same number at the same moment.
                if ip(&["-o", "addr", "show", "to", &address])?.lines().count() == 1 {
                    return Ok(Self { bridge: Arc::new(bridge) });
                }
            }
        }
        bail!("no network is free")
    }

    /// The address at which machines reach the test.
    #[must_use]
    pub fn here(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 213, self.bridge.number, 1)
    }

    /// Adds a machine.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn machine(&self) -> Result<Machine> {
        let host = self.bridge.machines.fetch_add(1, Ordering::Relaxed) + 1;
        let address = Ipv4Addr::new(10, 213, self.bridge.number, host);
        let name = format!("{}m{host}", self.bridge.name);
        // A link's name has at most 15 characters.
        let cable = format!("{PREFIX}c{}x{host}", self.bridge.number);
        ip(&["netns", "add", &name])?;
        let namespace = Namespace { name, cable, address, _bridge: self.bridge.clone() };
        let (name, cable) = (&namespace.name, &namespace.cable);
        ip(&["link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", name])?;
        ip(&["link", "set", cable, "master", &self.bridge.name, "up"])?;
        ip(&["-n", name, "addr", "add", &format!("{address}/24"), "dev", "eth0"])?;
        ip(&["-n", name, "link", "set", "eth0", "up"])?;
        ip(&["-n", name, "link", "set", "lo", "up"])?;
        ip(&["-n", name, "route", "add", "default", "via", &self.here().to_string()])?;
        Ok(Machine(Arc::new(namespace)))
    }
}

impl Machine {
    /// Its address.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.0.address
    }

    /// A command that runs there. The process keeps its number: nothing stands between.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.0.name)).arg("--").arg(program);
        command
    }

    /// Kills every process on it at once and pulls the cable, as a power cut does. What is on its disk stays.
    ///
    /// # Errors
    /// If that fails.
    pub fn power_off(&self) -> Result<()> {
        self.cut()?;
        // Whoever is about to start another does not get to it: all are stopped before one is killed.
        for signal in [Signal::STOP, Signal::KILL] {
            for pid in ip(&["netns", "pids", &self.0.name])?.split_whitespace() {
                if let Some(pid) = pid.parse().ok().and_then(Pid::from_raw) {
                    // One may have ended by itself, or with its PID namespace.
                    let _ = kill_process(pid, signal);
                }
            }
        }
        Ok(())
    }

    /// Pulls the cable: both sides see the link go down.
    ///
    /// # Errors
    /// If that fails.
    pub fn cut(&self) -> Result<()> {
        ip(&["link", "set", &self.0.cable, "down"]).map(drop)
    }

    /// Plugs it in again.
    ///
    /// # Errors
    /// If that fails.
    pub fn mend(&self) -> Result<()> {
        ip(&["link", "set", &self.0.cable, "up"]).map(drop)
    }

    /// Drops every packet in both directions, without a word to either side.
    ///
    /// # Errors
    /// If that fails.
    pub fn silence(&self) -> Result<()> {
        self.iptables("-I")
    }

    /// Lets packets through again.
    ///
    /// # Errors
    /// If that fails.
    pub fn speak(&self) -> Result<()> {
        self.iptables("-D")
    }

    fn iptables(&self, action: &str) -> Result<()> {
        for (chain, direction) in [("INPUT", "-i"), ("OUTPUT", "-o")] {
            let words = ["-w", action, chain, direction, "eth0", "-j", "DROP"];
            run(self.command("iptables").args(words))?;
        }
        Ok(())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // What runs there is somebody else's to end; the cable goes with its namespace.
        let _ = ip(&["link", "delete", &self.cable]);
        let _ = ip(&["netns", "delete", &self.name]);
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let _ = ip(&["link", "delete", &self.name]);
    }
}

/// Takes away what tests have left that were killed.
fn sweep() {
    let dead = |name: &str| {
        let pid: String = name.strip_prefix(PREFIX)?.chars().take_while(char::is_ascii_digit).collect();
        (!pid.is_empty() && !Path::new(&format!("/proc/{pid}")).exists()).then(|| name.to_owned())
    };
    let names = |folder: &str| -> Vec<String> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.filter_map(|entry| dead(&entry.file_name().to_string_lossy())).collect()
    };
    for name in names("/run/netns") {
        let _ = ip(&["netns", "delete", &name]);
    }
    for name in names("/sys/class/net") {
        let _ = ip(&["link", "delete", &name]);
    }
}

fn ip(words: &[&str]) -> Result<String> {
    run(Command::new("ip").args(words))
}

fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("running {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}
