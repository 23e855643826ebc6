//! The figures once more, counted from the raw events as plainly as can be: each question is asked of the whole log.

use std::collections::BTreeMap;

use serde_json::Value;
use shipway_events::RawEvent;

/// A figure: run, position and microseconds of its events, oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Figure {
    pub(crate) entries: Vec<(String, u64, i64)>,
    pub(crate) of: Option<u64>,
}

/// An event with its payload.
struct It<'a> {
    raw: &'a RawEvent,
    data: Value,
}

struct Log<'a>(Vec<It<'a>>);

const DAY: i64 = 86_400_000_000;

/// Every figure of every stage, by the stage and the figure's name.
pub(crate) fn stages(log: &[RawEvent]) -> BTreeMap<(String, String), Figure> {
    let log = Log(log.iter().map(|raw| It { raw, data: serde_json::from_str(&raw.data).unwrap() }).collect());
    let mut figures: BTreeMap<(String, String), Figure> = BTreeMap::new();
    let mut runs: Vec<&str> =
        log.0.iter().filter(|it| it.raw.kind == "run.ended").map(|it| it.id()).collect();
    runs.sort_by_key(|run| log.ended(run));
    for run in runs {
        let Some(stage) = log.stage(run) else { continue };
        let (at, position) = log.ended(run).unwrap();
        let mut add = |name: &str, entry: Option<(String, u64, i64)>| {
            figures.entry((stage.clone(), name.to_owned())).or_default().entries.extend(entry);
        };
        let (well, ill) = (log.is_release(run), log.is_ill(run));
        if well {
            add("releases", Some((run.to_owned(), position, at - log.started(run))));
            for (place, lead) in log.leads(run) {
                add("lead", Some((run.to_owned(), place, lead)));
            }
            for (state, spent) in log.spent(run) {
                add(state, Some((run.to_owned(), position, spent)));
            }
        }
        if let Some(known) = log.failed(run) {
            add("failures", Some((run.to_owned(), position, known - at)));
            let restored = log.restored(&stage, known);
            add(
                "restore",
                restored.map(|by| {
                    let (ended, position) = log.ended(by).unwrap();
                    (by.to_owned(), position, ended - known)
                }),
            );
        }
        let tried = figures.entry((stage, "failures".to_owned())).or_default();
        *tried.of.get_or_insert(0) += u64::from(well || ill);
    }
    figures
}

impl It<'_> {
    fn id(&self) -> &str {
        self.raw.stream.id().unwrap_or_default()
    }

    fn at(&self) -> i64 {
        self.raw.at.micros()
    }

    fn effects(&self, kind: &str) -> Vec<&Value> {
        let all = self.data["effects"].as_array().into_iter().flatten();
        all.filter(|effect| effect["effect"] == kind).collect()
    }
}

impl Log<'_> {
    fn of<'a>(&'a self, run: &'a str) -> impl Iterator<Item = &'a It<'a>> {
        self.0.iter().filter(move |it| it.raw.stream.kind() == "run" && it.id() == run)
    }

    fn start(&self, run: &str) -> &It<'_> {
        self.0.iter().find(|it| it.raw.kind == "run.started" && it.id() == run).unwrap()
    }

    fn started(&self, run: &str) -> i64 {
        self.start(run).at()
    }

    fn stage(&self, run: &str) -> Option<String> {
        let data = &self.start(run).data;
        data.get("pipeline")?;
        Some(data["path"].as_str()?.split_once('/')?.1.to_owned())
    }

    fn ended(&self, run: &str) -> Option<(i64, u64)> {
        self.of(run).find(|it| it.raw.kind == "run.ended").map(|it| (it.at(), it.raw.position))
    }

    fn is_rollback(&self, run: &str) -> bool {
        self.start(run).data.get("rollback").is_some()
    }

    fn ends_well(&self, run: &str) -> bool {
        self.of(run).any(|it| it.raw.kind == "run.ended" && it.data["status"] == "success")
    }

    fn released(&self, run: &str) -> Vec<(&It<'_>, &Value)> {
        let all = self.0.iter().filter(|it| it.raw.stream.kind() == "run" && it.id() == run);
        all.flat_map(|it| it.effects("released").into_iter().map(move |effect| (it, effect))).collect()
    }

    fn is_release(&self, run: &str) -> bool {
        self.ends_well(run) && !self.is_rollback(run) && !self.released(run).is_empty()
    }

    fn is_ill(&self, run: &str) -> bool {
        let ill = self
            .of(run)
            .any(|it| it.raw.kind == "run.node_failed" && it.data["error"]["code"] == "unhealthy");
        ill && !self.ends_well(run) && !self.is_rollback(run)
    }

    /// Of what it released first of all runs: from the commit's time.
    fn leads(&self, run: &str) -> Vec<(u64, i64)> {
        let mut leads = Vec::new();
        for (it, effect) in self.released(run) {
            let commit = &effect["artifact"]["commit"];
            let same = |other: &&Value| {
                other["target"] == effect["target"] && other["artifact"]["commit"] == *commit
            };
            let before = self.0.iter().take_while(|other| other.raw.position < it.raw.position);
            // What a resource takes by itself is of no stage.
            let of_stages = before
                .filter(|other| other.raw.kind == "run.node_succeeded" && self.stage(other.id()).is_some());
            let is_first = !of_stages.flat_map(|other| other.effects("released")).any(|other| same(&other));
            let before = self.0.iter().take_while(|other| other.raw.position < it.raw.position);
            let built = before.flat_map(|other| other.effects("built"));
            let authored = built
                .filter(|built| built["artifact"]["commit"] == *commit)
                .find_map(|built| built["authored"].as_i64());
            leads.extend(authored.filter(|_| is_first).map(|authored| (it.raw.position, it.at() - authored)));
        }
        leads
    }

    /// When it was marked, by marks that nobody has taken back.
    fn marked(&self, run: &str) -> Vec<i64> {
        let taken_back = |mark: &Value| {
            self.0.iter().any(|it| it.raw.kind == "policy.unmarked" && it.data["mark"] == *mark)
        };
        let marks =
            self.0.iter().filter(|it| it.raw.kind == "policy.marked_bad" && !taken_back(&it.data["mark"]));
        let about = |it: &&It<'_>| {
            let bad = it.data["artifacts"].as_array().unwrap();
            self.released(run).iter().any(|(_, effect)| {
                let artifact = &effect["artifact"];
                bad.iter().any(|bad| {
                    bad["digest"] == artifact["digest"]
                        || (bad["service"] == artifact["service"] && bad["commit"] == artifact["commit"])
                })
            })
        };
        marks.filter(about).map(It::at).collect()
    }

    /// When it was known that a release did not do.
    fn failed(&self, run: &str) -> Option<i64> {
        let (at, position) = self.ended(run)?;
        if self.is_ill(run) {
            return Some(at);
        }
        if !self.is_release(run) {
            return None;
        }
        let stage = self.stage(run);
        let mut known: Vec<i64> = self.marked(run);
        for it in self.0.iter().filter(|it| it.raw.kind == "run.started" && it.data.get("rollback").is_some())
        {
            // Of one that goes on nobody knows yet whether it is one.
            if self.ended(it.id()).is_none() || self.stage(it.id()) != stage || it.at() < at {
                continue;
            }
            let took = match it.data["rollback"]["of"].as_str() {
                Some(of) => of == run,
                None => !self.0.iter().any(|other| {
                    other.raw.kind == "run.ended"
                        && self.stage(other.id()) == stage
                        && self.is_release(other.id())
                        && (other.at(), other.raw.position) > (at, position)
                        && other.at() <= it.at()
                }),
            };
            known.extend(took.then(|| it.at()));
        }
        known.retain(|known| (at..=at + DAY).contains(known));
        known.into_iter().min()
    }

    fn restored(&self, stage: &str, known: i64) -> Option<&str> {
        let ends = self.0.iter().filter(|it| it.raw.kind == "run.ended" && it.at() > known);
        let mut well = ends.filter(|it| {
            let run = it.id();
            self.stage(run).as_deref() == Some(stage)
                && self.ends_well(run)
                && !self.released(run).is_empty()
                && self.marked(run).iter().all(|at| *at > it.at())
        });
        well.next().map(It::id)
    }

    /// Each moment between two events of the run is of one state, told by all that came before it.
    fn spent(&self, run: &str) -> Vec<(&'static str, i64)> {
        let events: Vec<&It<'_>> = self.of(run).collect();
        let end = events.iter().position(|it| it.raw.kind == "run.ended").unwrap();
        let mut spent: BTreeMap<&'static str, i64> = BTreeMap::new();
        for state in ["queue", "approval", "held", "build", "wait", "running"] {
            spent.insert(state, 0);
        }
        for n in 0..end {
            let took = events[n + 1].at() - events[n].at();
            *spent.get_mut(state_after(&events[..=n])).unwrap() += took;
        }
        spent.into_iter().collect()
    }
}

/// What a run does after these events.
fn state_after(events: &[&It<'_>]) -> &'static str {
    let last = |kinds: &[&str]| events.iter().rev().find(|it| kinds.contains(&it.raw.kind.as_str()));
    let node = |it: &It<'_>| it.data["node"].as_u64();
    let is_open = |begins: &str, fits: &dyn Fn(&It<'_>) -> bool| {
        events.iter().enumerate().any(|(n, it)| {
            let over = events[n + 1..].iter().any(|later| {
                let ends = !matches!(
                    later.raw.kind.as_str(),
                    "run.held" | "run.wait_started" | "run.approval_requested"
                );
                ends && node(later).is_some() && node(later) == node(it)
            });
            it.raw.kind == begins && fits(it) && !over
        })
    };
    let works = |work: &dyn Fn(&str) -> bool| {
        is_open("run.attempt_requested", &|it| work(it.data["work"]["work"].as_str().unwrap_or_default()))
    };
    let has_queue = events[0].data.get("policy").is_some();
    if has_queue && last(&["run.admitted"]).is_none() {
        "queue"
    } else if works(&|work| work == "build") {
        "build"
    } else if works(&|work| work != "build" && work != "await") {
        "running"
    } else if last(&["run.frozen", "run.thawed"]).is_some_and(|it| it.raw.kind == "run.frozen")
        || is_open("run.held", &|_| true)
    {
        "held"
    } else if is_open("run.approval_requested", &|_| true) {
        "approval"
    } else {
        "wait"
    }
}
