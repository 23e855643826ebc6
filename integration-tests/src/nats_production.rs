//! Three NATS servers with `infra/nats/production.conf` as it is: TLS by certificates of an authority of the test's own, the
//! accounts, and a cluster whose servers prove themselves to each other.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, bail};

use crate::{nats::program, shipway::PATIENCE};

/// Running servers; gone with the value.
#[derive(Debug)]
pub struct Production {
    servers: Vec<Child>,
    folder: tempfile::TempDir,
    ports: Vec<u16>,
}

impl Production {
    /// Starts them.
    ///
    /// # Errors
    /// If the certificates cannot be made, or a server does not start.
    pub fn start() -> Result<Self> {
        let folder = tempfile::tempdir().context("making the servers' folder")?;
        certificates(folder.path())?;
        // Held until all are known, so that they differ.
        let held: Vec<_> = (0..9).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
        let ports: Vec<_> = held.iter().map(|held| Ok(held.local_addr()?.port())).collect::<Result<_>>()?;
        drop(held);
        let (clients, rest) = ports.split_at(3);
        let (routes, monitors) = rest.split_at(3);
        let all: Vec<_> = routes.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
        let mut production = Self { servers: Vec::new(), folder, ports: clients.to_vec() };
        for number in 0..3 {
            production.serve(number, [clients[number], routes[number], monitors[number]], &all.join(", "))?;
        }
        production.wait()?;
        Ok(production)
    }

    fn serve(&mut self, number: usize, ports: [u16; 3], routes: &str) -> Result<()> {
        let name = format!("nats-{}", number + 1);
        let [listen, route, monitor] = ports.map(|port| format!("\"127.0.0.1:{port}\""));
        let quoted = |path: PathBuf| format!("\"{}\"", path.display());
        let settings = Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/nats/production.conf");
        let log = fs::File::create(self.log(number)).context("making a server's log")?;
        // It ends with the test, even if that is killed.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program()?).arg("-c").arg(settings);
        command.envs([
            ("NATS_LISTEN", listen),
            ("NATS_CLUSTER", route),
            ("NATS_MONITOR", monitor),
            ("NATS_ROUTES", format!("[{routes}]")),
            ("NATS_STORE", quoted(self.folder.path().join(&name))),
            ("NATS_CERT", quoted(self.certificate())),
            ("NATS_KEY", quoted(self.key())),
            ("NATS_CA", quoted(self.authority())),
            ("NATS_PASSWORD", self.password("shipway")),
            ("NATS_READER_PASSWORD", self.password("reader")),
            ("NATS_NAME", name),
        ]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.servers.push(command.spawn().context("starting nats-server")?);
        Ok(())
    }

    /// The servers' addresses, without anybody's login.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.ports.iter().map(|port| format!("tls://127.0.0.1:{port}")).collect()
    }

    /// The same for a user, with the login.
    #[must_use]
    pub fn urls_of(&self, user: &str) -> Vec<String> {
        let login = format!("tls://{user}:{}@", self.password(user));
        self.urls().iter().map(|url| url.replace("tls://", &login)).collect()
    }

    /// A user's password.
    #[must_use]
    pub fn password(&self, user: &str) -> String {
        format!("the-word-of-{user}")
    }

    /// The authority's certificate.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A certificate of the authority for 127.0.0.1, which servers and clients show.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join("own.pem")
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.folder.path().join("own.key")
    }

    /// What the servers have said of their users' doing what they may not.
    ///
    /// # Errors
    /// If a log cannot be read.
    pub fn violations(&self) -> Result<Vec<String>> {
        let mut all = Vec::new();
        for number in 0..self.servers.len() {
            let log = fs::read_to_string(self.log(number)).context("reading a server's log")?;
            all.extend(log.lines().filter(|line| line.contains("Violation")).map(str::to_owned));
        }
        Ok(all)
    }

    fn log(&self, number: usize) -> PathBuf {
        self.folder.path().join(format!("log-{}", number + 1))
    }

    /// Waits until all answer; that they agree on who leads is the clients' to wait for.
    fn wait(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        for number in 0..self.servers.len() {
            while TcpStream::connect(("127.0.0.1", self.ports[number])).is_err() {
                if self.servers[number].try_wait()?.is_some() || Instant::now() > deadline {
                    let log = fs::read_to_string(self.log(number)).unwrap_or_default();
                    bail!("nats-server did not start: {log}");
                }
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
        }
        Ok(())
    }
}

impl Drop for Production {
    fn drop(&mut self) {
        for (number, server) in self.servers.iter_mut().enumerate() {
            // It may have ended by itself.
            drop(server.kill());
            drop(server.wait());
            if std::thread::panicking() {
                let log = fs::read_to_string(self.folder.path().join(format!("log-{}", number + 1)));
                eprintln!("--- what nats-{} said\n{}", number + 1, log.unwrap_or_default());
            }
        }
    }
}

/// An authority, and a certificate of it for whoever is at 127.0.0.1.
fn certificates(folder: &Path) -> Result<()> {
    let about =
        "basicConstraints=CA:FALSE\nsubjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n";
    fs::write(folder.join("about"), about).context("writing what the certificate is for")?;
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    for words in [
        format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=authority"),
        format!("req {key} -keyout own.key -out own.csr -subj /CN=shipway"),
        "x509 -req -in own.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile about -out own.pem"
            .to_owned(),
    ] {
        let made = Command::new("openssl").args(words.split(' ')).current_dir(folder).output();
        let made = made.context("openssl cannot be started: ./scripts/test sets it up")?;
        if !made.status.success() {
            bail!("openssl {words}: {}", String::from_utf8_lossy(&made.stderr));
        }
    }
    Ok(())
}
