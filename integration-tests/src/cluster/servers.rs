//! What services stand on, as processes: NATS with the configuration of `infra/`, and HAProxy with that of
//! `infra/haproxy`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result};

use super::{Cluster, SERVICES, machines::Machine, process::Plan};
use crate::shipway::binary;

impl Cluster {
    pub(super) fn plan_nats(&mut self) -> Result<()> {
        let count = self.shape.nats;
        // For clients, for the other servers, and for their state.
        let addresses: Vec<_> =
            (0..count).map(|_| [self.address(None), self.address(None), self.address(None)]).collect();
        let program = self.shape.nats_program.clone().map_or_else(|| on_path("nats-server"), Ok)?;
        let routes: Vec<_> = addresses.iter().map(|[_, route, _]| format!("nats://{route}")).collect();
        for (number, [client, route, monitor]) in (1..).zip(addresses) {
            let name = format!("nats-{number}");
            let store = self.folder.join(&name).join("store");
            let given = [
                ("NATS_NAME", name.clone()),
                ("NATS_LISTEN", client.to_string()),
                ("NATS_CLUSTER", route.to_string()),
                ("NATS_ROUTES", format!("[{}]", routes.join(", "))),
                ("NATS_MONITOR", monitor.to_string()),
                ("NATS_STORE", format!("\"{}\"", store.display())),
            ];
            let file = self.folder.join(&name).join("nats.conf");
            fs::create_dir_all(self.folder.join(&name))?;
            fs::write(&file, nats_settings(count)?).context("writing the settings of NATS")?;
            let plan = Plan {
                name,
                program: program.clone(),
                arguments: vec!["-c".to_owned(), file.to_string_lossy().into_owned()],
                environment: given.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
                address: client,
                ready: Some((monitor, "/healthz")),
            };
            self.add(plan, None)?;
        }
        Ok(())
    }

    pub(super) fn plan_balancer(&mut self) -> Result<()> {
        let folder = self.folder.join("lb");
        fs::create_dir_all(&folder)?;
        let file = folder.join("haproxy.cfg");
        let settings = fs::read_to_string(infra("haproxy/haproxy.cfg"))?;
        let counts = SERVICES.iter().copied().zip(self.shape.services);
        fs::write(&file, with_servers(&settings, &counts.collect::<Vec<_>>()))?;
        let address = self.address(None);
        let mut environment =
            vec![("LB_LISTEN".to_owned(), address.to_string()), ("LB_ADMIN".to_owned(), "admin".to_owned())];
        for name in self.services() {
            let at = self.processes[&name].address().to_string();
            environment.push((name.to_uppercase().replace('-', "_"), at));
        }
        let plan = Plan {
            name: "lb".to_owned(),
            program: on_path("haproxy")?,
            arguments: vec!["-db".to_owned(), "-f".to_owned(), file.to_string_lossy().into_owned()],
            environment,
            address,
            // Nothing that HAProxy answers by itself: through to the console.
            ready: Some((address, "/healthz")),
        };
        self.add(plan, None)
    }
}

/// The settings of a server that is one of three; alone it replicates nothing and knows no routes.
fn nats_settings(count: usize) -> Result<String> {
    let settings = fs::read_to_string(infra("nats/node.conf")).context("reading infra/nats/node.conf")?;
    if count > 1 {
        return Ok(settings);
    }
    let begin = settings.find("cluster {").context("infra/nats/node.conf has a cluster")?;
    let end = begin + settings[begin..].find("\n}\n").context("the cluster's end")? + 3;
    Ok(format!("{}{}", &settings[..begin], &settings[end..]))
}

/// The balancer's settings are for two of each service; here there may be more or fewer.
fn with_servers(settings: &str, counts: &[(&str, usize)]) -> String {
    let mut lines = Vec::new();
    for line in settings.lines() {
        let server =
            line.trim_start().strip_prefix("server ").and_then(|rest| rest.split_whitespace().next());
        let Some((service, number)) = server.and_then(|name| name.rsplit_once('-')) else {
            lines.push(line.to_owned());
            continue;
        };
        if number == "1" {
            let count = counts.iter().find(|(name, _)| *name == service).map_or(0, |(_, count)| *count);
            let upper = service.to_uppercase();
            lines.extend((1..=count).map(|n| {
                line.replace(&format!("{service}-1"), &format!("{service}-{n}"))
                    .replace(&format!("{upper}_1"), &format!("{upper}_{n}"))
            }));
        }
    }
    lines.join("\n") + "\n"
}

/// Stops what an executor has started and detached.
pub(super) fn take_down(host: &Path, machine: Option<&Machine>) {
    let Ok(binary) = binary() else { return };
    let mut command = match machine {
        Some(machine) => machine.command(binary),
        None => Command::new(binary),
    };
    // It is told on the test's output if that fails; the test has judged what it judges by then.
    let down = command.args(["down", "--data"]).arg(host).stdin(Stdio::null()).output();
    match down {
        Ok(output) if output.status.success() => {}
        Ok(output) => eprintln!("shipway down: {}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => eprintln!("shipway down: {error}"),
    }
}

/// A file of `infra/`.
pub(super) fn infra(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra").join(file)
}

/// A program of this machine.
fn on_path(name: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    let found = folders.map(|folder| folder.join(name)).find(|file| file.exists());
    found.with_context(|| format!("{name} is not installed: ./scripts/test sets it up"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_balancer_gets_as_many_servers_as_there_are() {
        let settings = "backend s\n  server s-1 \"${S_1}\" proto h2\n  server s-2 \"${S_2}\" proto h2\n";
        let three = with_servers(settings, &[("s", 3)]);
        assert_eq!(three.matches("proto h2").count(), 3);
        assert!(three.contains("server s-3 \"${S_3}\""), "{three}");
        assert_eq!(with_servers(settings, &[("s", 1)]).lines().count(), 2);
    }

    #[test]
    fn one_server_of_nats_has_no_routes() {
        assert!(!nats_settings(1).unwrap().contains("NATS_ROUTES]\n"));
        assert!(!nats_settings(1).unwrap().contains("routes:"));
        assert!(nats_settings(3).unwrap().contains("routes:"));
    }
}
