//! What a keeper knows and does: one roll-out at a time, fenced.

use std::{
    collections::BTreeMap,
    io,
    path::Path,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use shipway_events::Fence;

use super::{
    SERVICE_LOG,
    instance::{Plan, Shared},
    logs::LogFiles,
    protocol::{Apply, Kind, Reply, Spec, Status},
    proxy::Listeners,
    record::{Record, Records},
    rollout::{Failure, Set},
    routes::Routes,
};
use crate::os::{
    children::{self, Children},
    files,
};

/// How long instances that start from the record have before the keeper says that they are not healthy; they are
/// started again in any case.
const RESUME: Duration = Duration::from_secs(120);

/// One keeper.
pub(super) struct Keeper {
    records: Records,
    shared: Arc<Shared>,
    listeners: Listeners,
    state: Mutex<State>,
    changed: Condvar,
    sets: AtomicU64,
}

struct State {
    record: Option<Record>,
    highest: Fence,
    set: Option<Arc<Set>>,
    rolling: Option<Rolling>,
    stopping: bool,
}

struct Rolling {
    fence: Fence,
    effect_key: String,
    cancelled: Arc<AtomicBool>,
    /// Set once; whoever asked for the same roll-out waits for it.
    result: Arc<Mutex<Option<Result<(), Failure>>>>,
}

/// What is asked of a roll-out.
struct Order {
    fence: Fence,
    effect_key: String,
    spec: Spec,
    secrets: BTreeMap<String, String>,
    timeout: Duration,
}

impl Keeper {
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        let records = Records::new(folder);
        let (record, highest) = records.load()?;
        let shared = Shared {
            children: Children::start(),
            routes: Arc::new(Routes::default()),
            files: LogFiles::new(folder.join(SERVICE_LOG)),
        };
        let state = State { record, highest, set: None, rolling: None, stopping: false };
        Ok(Self {
            records,
            shared: Arc::new(shared),
            listeners: Listeners::default(),
            state: Mutex::new(state),
            changed: Condvar::new(),
            sets: AtomicU64::new(1),
        })
    }

    /// After a crash or a reboot: goes on with what the record says, if no secrets are needed for it.
    pub(super) fn resume(keeper: &Arc<Self>) {
        let ready = keeper.lock().record.as_ref().is_some_and(|record| record.spec.secrets.is_empty());
        if ready {
            keeper.start_from_record(BTreeMap::new());
        }
    }

    pub(super) fn take_secrets(self: &Arc<Self>, values: BTreeMap<String, String>) -> Reply {
        if self.lock().set.is_some() {
            return Reply::Done { already: true };
        }
        self.start_from_record(values);
        Reply::Done { already: false }
    }

    pub(super) fn apply(&self, apply: Apply) -> Reply {
        let Apply { fence, effect_key, spec, secrets, timeout_ms } = apply;
        let timeout = Duration::from_millis(timeout_ms);
        self.order(Order { fence, effect_key, spec, secrets, timeout })
    }

    /// The same state with new instances. A service's take over from the old ones like any roll-out.
    pub(super) fn restart(&self, fence: Fence, effect_key: String, timeout_ms: u64) -> Reply {
        let state = self.lock();
        let Some(record) = state.record.clone() else {
            let message = "nothing was released to it yet, so there is nothing to restart".to_owned();
            return Reply::Failed { code: "not_running".to_owned(), message };
        };
        let Some(set) = state.set.clone() else {
            let message = "it is starting after a restart of the machine; try again".to_owned();
            return Reply::Failed { code: "starting".to_owned(), message };
        };
        drop(state);
        let secrets = set.plan.secrets.clone();
        let timeout = Duration::from_millis(timeout_ms);
        self.order(Order { fence, effect_key, spec: record.spec, secrets, timeout })
    }

    pub(super) fn cancel(&self, fence: Fence) -> Reply {
        let state = self.lock();
        let found = state.rolling.as_ref().filter(|rolling| rolling.fence == fence);
        if let Some(rolling) = found {
            rolling.cancelled.store(true, Ordering::SeqCst);
        }
        Reply::Done { already: found.is_none() }
    }

    pub(super) fn status(&self) -> Status {
        let state = self.lock();
        let record = state.record.as_ref();
        let slots = state.set.iter().flat_map(|set| &set.slots);
        Status {
            fence: state.highest,
            applied: record.map(|record| record.fence),
            effect_key: record.map(|record| record.effect_key.clone()),
            spec: record.map(|record| record.spec.clone()),
            instances: slots.map(|slot| slot.status()).collect(),
            rolling: state.rolling.is_some(),
            needs_secrets: match (record, &state.set) {
                (Some(record), None) => record.spec.secrets.clone(),
                _ => BTreeMap::new(),
            },
        }
    }

    /// Ends everything: who is being served is served to the end, within the grace.
    pub(super) fn stop(&self) -> Reply {
        let mut state = self.lock();
        state.stopping = true;
        if let Some(rolling) = &state.rolling {
            rolling.cancelled.store(true, Ordering::SeqCst);
        }
        while state.rolling.is_some() {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let set = state.set.take();
        drop(state);
        self.listeners.keep(std::net::Ipv4Addr::LOCALHOST.into(), &[]);
        self.shared.routes.close();
        if let Some(set) = set {
            let _ = set.drain(Arc::clone(&self.shared)).join();
        }
        children::kill_all(Duration::from_secs(10));
        Reply::Done { already: false }
    }

    fn order(&self, order: Order) -> Reply {
        let mut state = self.lock();
        loop {
            if state.stopping {
                return failed(&Failure { code: "stopped", message: "its keeper is stopping".to_owned() });
            }
            if order.fence < state.highest {
                return Reply::Stale { current: state.highest };
            }
            let settled = state.set.is_some() && state.rolling.is_none();
            if let Some(record) = state.record.as_mut().filter(|record| record.effect_key == order.effect_key)
                && settled
            {
                record.fence = order.fence;
                let kept = self.records.save(record);
                state.highest = order.fence;
                return kept.map_or_else(|error| not_recorded(&error), |()| Reply::Done { already: true });
            }
            match &mut state.rolling {
                None => break,
                Some(rolling) if rolling.effect_key == order.effect_key => {
                    rolling.fence = order.fence;
                    let result = Arc::clone(&rolling.result);
                    state.highest = order.fence;
                    return self.await_result(state, &result);
                }
                Some(rolling) => rolling.cancelled.store(true, Ordering::SeqCst),
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if let Err(error) = self.records.raise(order.fence) {
            return not_recorded(&error);
        }
        state.highest = order.fence;
        let result = Arc::new(Mutex::new(None));
        let cancelled = Arc::new(AtomicBool::new(false));
        state.rolling = Some(Rolling {
            fence: order.fence,
            effect_key: order.effect_key.clone(),
            cancelled: Arc::clone(&cancelled),
            result: Arc::clone(&result),
        });
        let old = state.set.clone();
        drop(state);
        let done = self.roll(order, old, &cancelled);
        let mut state = self.lock();
        *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(done.clone());
        state.rolling = None;
        drop(state);
        self.changed.notify_all();
        done.map_or_else(|failure| failed(&failure), |()| Reply::Done { already: false })
    }

    fn await_result(
        &self,
        mut state: MutexGuard<'_, State>,
        result: &Mutex<Option<Result<(), Failure>>>,
    ) -> Reply {
        loop {
            if let Some(done) = result.lock().unwrap_or_else(PoisonError::into_inner).clone() {
                return done.map_or_else(|failure| failed(&failure), |()| Reply::Done { already: true });
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn roll(&self, order: Order, old: Option<Arc<Set>>, cancelled: &AtomicBool) -> Result<(), Failure> {
        let proxied = order.spec.kind == Kind::Service;
        if proxied {
            self.open_ports(&order.spec)?;
        } else if let Some(old) = &old {
            old.stop(&self.shared);
        }
        let number = self.sets.fetch_add(1, Ordering::Relaxed);
        let plan = Plan { set: number, spec: order.spec, secrets: order.secrets, proven: false };
        let new = Arc::new(Set::start(plan, &self.shared));
        let healthy = new.await_healthy(order.timeout, cancelled).and_then(|()| {
            // A same roll-out asked for again may have raised the fence meanwhile.
            let mut state = self.lock();
            let fence = state.rolling.as_ref().map_or(order.fence, |rolling| rolling.fence);
            let record = Record { fence, effect_key: order.effect_key, spec: new.plan.spec.clone() };
            self.records.save(&record).map_err(|error| record_failure(&error))?;
            state.record = Some(record);
            state.set = Some(Arc::clone(&new));
            Ok(())
        });
        if let Err(failure) = healthy {
            new.stop(&self.shared);
            let before = self.lock().record.as_ref().map(|record| record.spec.clone());
            if proxied {
                let ports = before.as_ref().map_or(&[][..], |spec| &spec.ports);
                let listen = before.as_ref().map_or(new.plan.spec.listen, |spec| spec.listen);
                self.listeners.keep(listen, ports);
                // A port that led to another name for a moment leads where it did.
                if let Some(spec) = &before {
                    let _ = self.listeners.open(spec.listen, &spec.ports, &self.shared.routes);
                }
            } else if let (Some(old), Some(spec)) = (old, before) {
                let number = self.sets.fetch_add(1, Ordering::Relaxed);
                let plan = Plan { set: number, spec, secrets: old.plan.secrets.clone(), proven: true };
                self.lock().set = Some(Arc::new(Set::start(plan, &self.shared)));
            }
            return Err(failure);
        }
        if proxied {
            new.take_over(&self.shared);
            self.listeners.keep(new.plan.spec.listen, &new.plan.spec.ports);
            if let Some(old) = old {
                let drained = old.drain(Arc::clone(&self.shared));
                // Who stops a service waits for it to be stopped: something is done next that it must not meet.
                if new.slots.is_empty() {
                    let _ = drained.join();
                }
            }
        }
        Ok(())
    }

    /// Returns at once: others may have to be started before this one can be healthy.
    fn start_from_record(self: &Arc<Self>, secrets: BTreeMap<String, String>) {
        let mut state = self.lock();
        let Some(record) = state.record.clone() else { return };
        if state.set.is_some() || state.rolling.is_some() || state.stopping {
            return;
        }
        let spec = record.spec;
        if spec.kind == Kind::Service
            && let Err(failure) = self.open_ports(&spec)
        {
            self.shared.files.line("keeper", &failure.message);
        }
        let number = self.sets.fetch_add(1, Ordering::Relaxed);
        let plan = Plan { set: number, spec, secrets, proven: true };
        let set = Arc::new(Set::start(plan, &self.shared));
        set.take_over(&self.shared);
        state.set = Some(Arc::clone(&set));
        drop(state);
        let shared = Arc::clone(&self.shared);
        thread::spawn(move || {
            if let Err(failure) = set.await_healthy(RESUME, &AtomicBool::new(false)) {
                shared.files.line("keeper", &format!("[shipway] after the restart {}", failure.message));
            }
        });
    }

    fn open_ports(&self, spec: &Spec) -> Result<(), Failure> {
        self.listeners.open(spec.listen, &spec.ports, &self.shared.routes).map_err(|(port, error)| Failure {
            code: "port_taken",
            message: format!(
                "opening port {port} on {} for `{}` failed: {error}. Another program may have it: `ss -ltnp 'sport = :{port}'` \
                 names it",
                spec.listen, spec.slug
            ),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn failed(failure: &Failure) -> Reply {
    Reply::Failed { code: failure.code.to_owned(), message: failure.message.clone() }
}

fn not_recorded(error: &io::Error) -> Reply {
    failed(&record_failure(error))
}

fn record_failure(error: &io::Error) -> Failure {
    let code = if files::is_disk_full(error) { "disk_full" } else { "record_failed" };
    Failure { code, message: format!("writing the target's record failed: {error}; everything is as it was") }
}
