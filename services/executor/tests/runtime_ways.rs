//! Instances reach targets of other hosts where they would find them on their own.

#![expect(clippy::unwrap_used, reason = "helpers of tests may unwrap as tests do")]

mod common;
#[path = "common/scheduler.rs"]
mod scheduler;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{IpAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::Duration,
};

use common::{BINARY, Data, eventually, free_port, service, target};
use scheduler::artifact;
use serde_json::{Map, json};
use shipway_events::EffectClass;
use shipway_executor::{
    Way,
    runtime::{Deployment, Keeping, Runtime, process::ProcessOptions},
};
use shipway_nodes::{
    Workload,
    workload::{Command as Run, HealthCheck, Port, Release, ServiceSpec},
};

fn way(port: u16, host: &str) -> Way {
    Way { port, host: host.to_owned() }
}

fn at(host: &str) -> ProcessOptions {
    ProcessOptions { listen: host.parse().unwrap(), ..ProcessOptions::default() }
}

/// A host at another loopback address whose target says its name to whoever connects.
fn other_host(address: &str, port: u16) -> Option<TcpListener> {
    let listener = TcpListener::bind((address.parse::<IpAddr>().unwrap(), port)).ok()?;
    let (own, name) = (listener.try_clone().unwrap(), address.to_owned());
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let Ok(mut client) = client else { return };
            let name = name.clone();
            std::thread::spawn(move || {
                let _ = client.write_all(name.as_bytes());
                let mut byte = [0];
                while matches!(client.read(&mut byte), Ok(1)) {
                    let _ = client.write_all(&byte);
                }
            });
        }
    });
    Some(own)
}

/// Who answers at the port of this host.
fn answers(port: u16) -> Option<String> {
    let mut client = TcpStream::connect(("127.0.0.1", port)).ok()?;
    let mut name = [0; 9];
    client.read_exact(&mut name).ok()?;
    Some(String::from_utf8_lossy(&name).into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ways_lead_to_other_hosts_outlive_executors_and_crashes_and_turn() {
    let (data, port) = (Data::new(), free_port());
    let _two = other_host("127.0.0.2", port).unwrap();
    let _three = other_host("127.0.0.3", port).unwrap();
    let runtime = data.runtime().await;
    assert_eq!(answers(port), None);
    runtime.set_ways(vec![way(port, "127.0.0.2")]).await.unwrap();
    assert_eq!(answers(port).unwrap(), "127.0.0.2");
    let mut kept = TcpStream::connect(("127.0.0.1", port)).unwrap();
    kept.read_exact(&mut [0; 9]).unwrap();
    drop(runtime);

    // Turned to another host: at no moment is a connection refused.
    let runtime = data.runtime().await;
    let asking = std::thread::spawn(move || (0..200).filter(|_| answers(port).is_none()).count());
    for host in ["127.0.0.3", "127.0.0.2", "127.0.0.3"] {
        runtime.set_ways(vec![way(port, host)]).await.unwrap();
        assert_eq!(answers(port).unwrap(), host);
    }
    assert_eq!(asking.join().unwrap(), 0, "connections were refused");
    // What was connected before still is.
    kept.write_all(b"x").unwrap();
    kept.read_exact(&mut [0]).unwrap();

    common::kill(&format!("way {}", data.path().canonicalize().unwrap().display()));
    eventually("the process is dead", async || answers(port).is_none()).await;
    data.runtime().await.revive().await.unwrap();
    assert_eq!(answers(port).unwrap(), "127.0.0.3");
    runtime.set_ways(Vec::new()).await.unwrap();
    assert_eq!(answers(port), None);
    runtime.down().await.unwrap();
    let left = format!("way {}", data.path().canonicalize().unwrap().display());
    eventually("nothing is left", async || common::processes(&left).is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_comes_here_takes_the_port_of_its_way() {
    let (data, target, port) = (Data::new(), target(), free_port());
    let _three = other_host("127.0.0.3", port).unwrap();
    let runtime = data.runtime_with(at("127.0.0.2")).await;
    runtime.set_ways(vec![way(port, "127.0.0.3")]).await.unwrap();
    assert_eq!(answers(port).unwrap(), "127.0.0.3");
    runtime.apply(service(&data, &target, port, 1, "v1")).await.unwrap();
    let get = async |host: &str| {
        let output = Command::new(BINARY).args(["get", &format!("{host}:{port}")]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    // For the instances of this host, and for others.
    assert_eq!((get("127.0.0.1").await, get("127.0.0.2").await), ("v1".to_owned(), "v1".to_owned()));
    // A way that is set too late changes nothing.
    runtime.set_ways(vec![way(port, "127.0.0.3")]).await.unwrap();
    assert_eq!(get("127.0.0.1").await, "v1");
    runtime.down().await.unwrap();
}

/// An addon listens on the machine's own address only; other hosts reach it all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_addon_is_reached_from_other_hosts() {
    let (data, target, port) = (Data::new(), target(), free_port());
    let runtime = data.runtime_with(at("127.0.0.2")).await;
    let keeping = Keeping::Exclusive {
        stop_signal: rustix::process::Signal::TERM.as_raw(),
        ready: vec!["/bin/true".into()],
    };
    let mut addon = Deployment { keeping, instances: 1, ..service(&data, &target, port, 1, "v1") };
    addon.ports[0].http = false;
    runtime.apply(addon).await.unwrap();
    let get = || -> std::io::Result<String> {
        let mut client = TcpStream::connect(("127.0.0.2", port))?;
        client.set_read_timeout(Some(Duration::from_secs(10)))?;
        client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")?;
        let mut answer = [0; 12];
        client.read_exact(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    assert!(get().is_err());
    runtime.set_ways(Vec::new()).await.unwrap();
    assert_eq!(get().unwrap(), "HTTP/1.1 200");
    runtime.down().await.unwrap();
    assert!(get().is_err());
}

/// A machine of its own, as far as networks go; ended with all that runs in it.
struct Machine {
    name: String,
    executor: Option<Child>,
}

fn ip(words: &[&str]) {
    let done = Command::new("ip").args(words).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(
        done.status.success(),
        "`ip {}` failed: {said}. This test makes network namespaces, which needs root and iproute2",
        words.join(" ")
    );
}

impl Machine {
    fn new(name: &str, link: &str, address: &str) -> Self {
        ip(&["netns", "add", name]);
        let machine = Self { name: name.to_owned(), executor: None };
        ip(&["link", "set", link, "netns", name]);
        machine.ip(&["addr", "add", &format!("{address}/24"), "dev", link]);
        machine.ip(&["link", "set", link, "up"]);
        machine.ip(&["link", "set", "lo", "up"]);
        machine
    }

    fn ip(&self, words: &[&str]) {
        ip(&[&["-n", &self.name][..], words].concat());
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, BINARY]).args(words);
        command
    }

    /// Starts an executor there, and waits until it has said a line that begins so.
    fn executor(&mut self, data: &Data, given: &serde_json::Value, until: &str) {
        let words = ["attempt", data.path().to_str().unwrap(), &given.to_string()];
        let mut child = self.command(&words).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let said = lines.find(|line| line.starts_with(until));
        assert!(said.is_some(), "the executor of {} ended", self.name);
        self.executor = Some(child);
    }

    fn get(&self, port: u16) -> String {
        let output = self.command(&["get", &format!("127.0.0.1:{port}")]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(executor) = &mut self.executor {
            let _ = executor.kill();
            let _ = executor.wait();
        }
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

/// Two machines that have nothing in common but a cable. A service lives on the one; on the other it is found at its
/// port on 127.0.0.1, also when the executor there is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_of_another_machine_is_found_at_its_own_port() {
    let (here, there) = (Data::new(), Data::new());
    let port = free_port();
    let id = std::process::id();
    let (near, far) = (format!("swa{id}"), format!("swb{id}"));
    ip(&["link", "add", &near, "type", "veth", "peer", "name", &far]);
    let mut one = Machine::new(&format!("shipway-a{id}"), &near, "10.213.7.1");
    let mut two = Machine::new(&format!("shipway-b{id}"), &far, "10.213.7.2");
    let spec = ServiceSpec {
        instances: 1,
        command: Run::Words(vec!["./program".into(), "serve".into()]),
        environment: Map::from_iter([("VERSION".to_owned(), json!("far away"))]),
        ports: vec![Port { name: "http".into(), public: port, http: true }],
        health: vec![HealthCheck {
            path: None,
            port: None,
            period_ms: 50,
            timeout_ms: 500,
            successes: 2,
            failures: 3,
        }],
        grace_seconds: 1,
    };
    let release = Workload::Release(Release {
        target: target(),
        artifact: artifact(&there).await,
        service: Some(spec),
        wait: true,
        timeout_seconds: 60,
    });
    let given = json!({
        "work": release, "class": EffectClass::Fenced, "key": "run/1", "fence": 1, "listen": "10.213.7.2",
    });
    two.executor(&there, &given, "outcome Succeeded");
    assert_eq!(two.get(port), "far away");
    assert_eq!(one.get(port), "error ConnectionRefused");
    let ways = json!({ "listen": "10.213.7.1", "ways": [{ "port": port, "host": "10.213.7.2" }] });
    one.executor(&here, &ways, "ready");
    assert_eq!(one.get(port), "far away");
    for machine in [&mut one, &mut two] {
        let mut executor = machine.executor.take().unwrap();
        executor.kill().unwrap();
        executor.wait().unwrap();
    }
    assert_eq!(one.get(port), "far away");
    // The cable is cut: an end, and no answer from elsewhere. The time is the way's own.
    one.ip(&["link", "set", &near, "down"]);
    let cut = tokio::time::timeout(Duration::from_secs(60), async { one.get(port) }).await.unwrap();
    assert_ne!(cut, "far away");
}
