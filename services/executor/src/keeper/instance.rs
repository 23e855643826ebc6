//! One place for an instance: starts it, checks it, starts it again when it ends by itself.

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, TcpListener},
    process::Stdio,
    sync::{
        Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU16, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use shipway_service_kit::INSTANCE_PORTS;

use super::{
    health::{self, Place},
    logs::{self, LogFiles, Tail},
    protocol::{Instance, Kind, Phase, Spec},
    routes::{Endpoint, Routes},
};
use crate::{
    masking::Masker,
    os::{
        children::{Children, Exit},
        procfs, stage,
    },
};

/// The first pause before an ended instance is started again; it doubles up to the longest.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// An instance that ran so long starts again with the first pause.
const STEADY: Duration = Duration::from_secs(60);
/// Until an instance is healthy it is checked at least this often.
const EAGER: Duration = Duration::from_millis(250);

/// An instance without checks is healthy when it has run so long.
const UNCHECKED: Duration = Duration::from_secs(1);

/// What all instances of a keeper share.
pub(super) struct Shared {
    pub(super) children: Children,
    pub(super) routes: Arc<Routes>,
    pub(super) files: LogFiles,
}

/// What the instances of one set are started from.
pub(super) struct Plan {
    /// Told apart from earlier sets in logs and in markers.
    pub(super) set: u64,
    pub(super) spec: Spec,
    /// Values by variable, in memory only.
    pub(super) secrets: BTreeMap<String, String>,
    /// Whether it was released before. What ends is started again then, however soon it ended: after a reboot, what it
    /// needs may still be on its way up.
    pub(super) proven: bool,
}

/// One place.
pub(super) struct Slot {
    name: String,
    state: Mutex<State>,
    changed: Condvar,
    stop: AtomicBool,
    /// The set serves: what becomes healthy from now on gets traffic by itself.
    serving: AtomicBool,
    tail: Mutex<Tail>,
}

struct State {
    phase: Phase,
    endpoint: Option<Arc<Endpoint>>,
    ports: BTreeMap<String, u16>,
    restarts: u32,
    /// What the last bad check saw, or how it ended.
    seen: Option<String>,
    /// It ended before it was healthy for the first time.
    failed: bool,
}

impl Slot {
    /// Starts the place's thread.
    pub(super) fn start(number: u32, plan: Arc<Plan>, shared: Arc<Shared>) -> Arc<Self> {
        let state = State {
            phase: Phase::Starting,
            endpoint: None,
            ports: BTreeMap::new(),
            restarts: 0,
            seen: None,
            failed: false,
        };
        let slot = Arc::new(Self {
            name: format!("{}.{number}", plan.set),
            state: Mutex::new(state),
            changed: Condvar::new(),
            stop: AtomicBool::new(false),
            serving: AtomicBool::new(false),
            tail: Mutex::new(Tail::default()),
        });
        let own = Arc::clone(&slot);
        thread::spawn(move || own.run(&plan, &shared));
        slot
    }

    /// How it stands.
    pub(super) fn status(&self) -> Instance {
        let state = self.lock();
        Instance {
            name: self.name.clone(),
            phase: state.phase,
            ports: state.ports.clone(),
            restarts: state.restarts,
        }
    }

    /// The healthy instance; `Err` once it ended before it was ever healthy. `None` when `until` has come.
    pub(super) fn await_healthy(
        &self,
        until: Instant,
        cancelled: &AtomicBool,
    ) -> Option<Result<Arc<Endpoint>, ()>> {
        let mut state = self.lock();
        loop {
            if state.failed {
                return Some(Err(()));
            }
            if let (Phase::Healthy, Some(endpoint)) = (state.phase, &state.endpoint) {
                return Some(Ok(Arc::clone(endpoint)));
            }
            let left = until.saturating_duration_since(Instant::now()).min(Duration::from_millis(50));
            if left.is_zero() || cancelled.load(Ordering::SeqCst) {
                return None;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// What went wrong, with the last lines of its log.
    pub(super) fn report(&self) -> (String, String) {
        let seen = self.lock().seen.clone().unwrap_or_else(|| "was not checked yet".to_owned());
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner).text();
        (seen, tail)
    }

    /// From now on it gets traffic whenever it is healthy.
    pub(super) fn serve(&self) {
        self.serving.store(true, Ordering::SeqCst);
    }

    /// Its instance, if one runs.
    pub(super) fn endpoint(&self) -> Option<Arc<Endpoint>> {
        self.lock().endpoint.clone()
    }

    /// Asks it to end; it takes at most its grace and a little.
    pub(super) fn stop(&self, shared: &Shared) {
        self.stop.store(true, Ordering::SeqCst);
        shared.children.wake();
        self.changed.notify_all();
    }

    /// Waits until it has ended.
    pub(super) fn await_stopped(&self) {
        let mut state = self.lock();
        while state.phase != Phase::Stopped {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    fn stopping(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    fn run(&self, plan: &Plan, shared: &Arc<Shared>) {
        let mut pause = PAUSE;
        let mut was_healthy = false;
        while !self.stopping() {
            let begun = Instant::now();
            let seen = match self.spawn(plan, shared) {
                Ok((pid, endpoint, pump)) => {
                    let exit = self.watch(pid, plan, shared, &endpoint, &mut was_healthy);
                    shared.routes.remove(&endpoint);
                    endpoint.close_idle();
                    self.end_group(pid, plan, shared);
                    let until = Instant::now() + Duration::from_millis(500);
                    while !pump.is_finished() && Instant::now() < until {
                        thread::sleep(Duration::from_millis(5));
                    }
                    exit.map(|exit| exit.to_string())
                }
                Err(error) => Some(format!("could not be started: {error}")),
            };
            let Some(seen) = seen else { break };
            shared.files.line(&self.name, &format!("[shipway] the instance {seen}"));
            let failed = !was_healthy && !plan.proven;
            self.update(|state| {
                state.phase = Phase::Down;
                state.endpoint = None;
                state.seen = Some(seen);
                state.failed = failed;
                state.restarts += 1;
            });
            if failed {
                break;
            }
            pause = if begun.elapsed() > STEADY { PAUSE } else { pause };
            self.sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        self.update(|state| {
            state.phase = Phase::Stopped;
            state.endpoint = None;
        });
    }

    fn sleep(&self, time: Duration) {
        let until = Instant::now() + time;
        let mut state = self.lock();
        while !self.stopping() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn spawn(
        &self,
        plan: &Plan,
        shared: &Arc<Shared>,
    ) -> io::Result<(i32, Arc<Endpoint>, thread::JoinHandle<()>)> {
        let spec = &plan.spec;
        let mut ports = BTreeMap::new();
        for port in &spec.ports {
            let private = if spec.kind == Kind::Addon { port.public } else { private_port()? };
            ports.insert(port.name.clone(), private);
        }
        let environment = environment(plan, &ports, &self.name);
        let mut command = spec.sandbox.command(&spec.words, &environment);
        let (output, input) = io::pipe()?;
        command.stdin(Stdio::null()).stdout(input.try_clone()?).stderr(input);
        let pid = shared.children.spawn(&mut command)?;
        drop(command);
        let tail = Tail::default();
        *self.tail.lock().unwrap_or_else(PoisonError::into_inner) = tail.clone();
        let (name, files) = (self.name.clone(), Arc::clone(shared));
        let masker = Masker::new(plan.secrets.values());
        let pump = thread::spawn(move || logs::pump(output, &name, masker, &tail, &files.files));
        let endpoint = Endpoint::new(ports.clone());
        self.update(|state| {
            state.phase = Phase::Starting;
            state.endpoint = Some(Arc::clone(&endpoint));
            state.ports = ports;
        });
        Ok((pid, endpoint, pump))
    }

    /// Checks it until it ends (`Some`) or is to be stopped (`None`).
    fn watch(
        &self,
        pid: i32,
        plan: &Plan,
        shared: &Arc<Shared>,
        endpoint: &Arc<Endpoint>,
        was_healthy: &mut bool,
    ) -> Option<Exit> {
        let spec = &plan.spec;
        let environment = environment(plan, &endpoint.ports, &self.name);
        let place = Place {
            children: &shared.children,
            sandbox: &spec.sandbox,
            environment: &environment,
            ports: &endpoint.ports,
        };
        let period = spec.checks.iter().map(|check| check.period_ms).min().unwrap_or(1000).max(20);
        let period = Duration::from_millis(period);
        let mut good = vec![0_u32; spec.checks.len()];
        let mut bad = vec![0_u32; spec.checks.len()];
        let (begun, mut healthy) = (Instant::now(), false);
        loop {
            for (number, check) in spec.checks.iter().enumerate() {
                match health::try_once(check, &place) {
                    Ok(()) => (good[number], bad[number]) = (good[number].saturating_add(1), 0),
                    Err(seen) => {
                        (good[number], bad[number]) = (0, bad[number].saturating_add(1));
                        self.update(|state| state.seen = Some(seen));
                    }
                }
            }
            let checks = || spec.checks.iter().enumerate();
            // Without checks an instance has to have stayed for a while.
            let stayed = !spec.checks.is_empty() || begun.elapsed() >= UNCHECKED;
            if !healthy && stayed && checks().all(|(number, check)| good[number] >= check.successes.max(1)) {
                (healthy, *was_healthy) = (true, true);
                endpoint.healthy.store(true, Ordering::SeqCst);
                self.update(|state| state.phase = Phase::Healthy);
                if self.serving.load(Ordering::SeqCst) {
                    shared.routes.remove(endpoint);
                    shared.routes.add(endpoint);
                }
            } else if healthy && checks().any(|(number, check)| bad[number] >= check.failures.max(1)) {
                healthy = false;
                endpoint.healthy.store(false, Ordering::SeqCst);
                self.update(|state| state.phase = Phase::Ill);
            }
            let pause = if *was_healthy { period } else { period.min(EAGER) };
            match shared.children.wait_or(pid, pause, &self.stop) {
                Some(exit) if !self.stopping() => return Some(exit),
                _ if self.stopping() => return None,
                _ => {}
            }
        }
    }

    /// Ends what is left of an instance: its group by signal, grace and SIGKILL; what left the group by its marker.
    fn end_group(&self, pid: i32, plan: &Plan, shared: &Shared) {
        let children = &shared.children;
        if children.wait(pid, Duration::ZERO).is_none() {
            children.signal(pid, stage::named_signal(plan.spec.stop_signal));
            let grace = Duration::from_secs(plan.spec.grace_seconds.into());
            if children.wait(pid, grace).is_none() {
                children.signal(pid, Signal::KILL);
                children.wait(pid, Duration::from_secs(10));
            }
        }
        procfs::signal_group(pid, Signal::KILL);
        let marker = marker(&self.name);
        let own = rustix::process::getpid().as_raw_nonzero().get();
        for _ in 0..20 {
            let left: Vec<i32> = procfs::descendants(own)
                .into_iter()
                .filter(|pid| procfs::has_environment(*pid, &marker))
                .collect();
            if left.is_empty() {
                break;
            }
            left.into_iter().for_each(|pid| procfs::signal(pid, Signal::KILL));
            thread::sleep(Duration::from_millis(5));
        }
        children.forget(pid);
    }
}

fn marker(name: &str) -> String {
    format!("SHIPWAY_INSTANCE={name}")
}

fn environment(plan: &Plan, ports: &BTreeMap<String, u16>, name: &str) -> BTreeMap<String, String> {
    let mut all = plan.spec.environment.clone();
    all.extend(plan.secrets.iter().map(|(name, value)| (name.clone(), value.clone())));
    for (position, port) in plan.spec.ports.iter().enumerate() {
        let number = ports.get(&port.name).copied().unwrap_or(port.public).to_string();
        let variable: String = port
            .name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
            .collect();
        all.insert(format!("PORT_{variable}"), number.clone());
        if position == 0 {
            all.insert("PORT".to_owned(), number);
        }
    }
    all.insert("SHIPWAY_INSTANCE".to_owned(), name.to_owned());
    all
}

/// A free port of those that are for instances. Each call goes on from the last, so that two instances that start
/// together never get the same.
fn private_port() -> io::Result<u16> {
    let (first, last) = (*INSTANCE_PORTS.start(), *INSTANCE_PORTS.end());
    let count = last - first + 1;
    // Each keeper begins elsewhere: two that start at the same time must not meet.
    static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| {
        let [high, low, ..] = uuid::Uuid::new_v4().into_bytes();
        AtomicU16::new(u16::from_be_bytes([high, low]))
    });
    for _ in 0..count {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed) % count;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(io::Error::other(format!("no free port from {first} to {last}")))
}
