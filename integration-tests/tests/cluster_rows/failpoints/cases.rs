//! Cases against one installation, one after another.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use rand::{RngExt, rngs::SmallRng, seq::IndexedRandom};
use shipway_integration_tests::{
    failpoints::Installation,
    shipway::wait,
    sink::{Sink, Verdict},
    workload::{self, Ended, Workload},
};

use super::{
    helped::{Help, TRIES},
    round::{RUNS, Round},
};
use crate::given::{full, judged};

/// What happens at a point.
#[derive(Clone, Copy, Debug)]
pub(super) enum Action {
    Abort,
    Error,
    Delay,
}

impl Action {
    pub(super) const ALL: [Self; 3] = [Self::Abort, Self::Error, Self::Delay];

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Abort => "abort",
            Self::Error => "error",
            Self::Delay => "delay",
        }
    }
}

/// One point, and what happens there.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) point: String,
    pub(super) action: Action,
}

/// How long a case may take.
const LIMIT: Duration = Duration::from_secs(60);

/// So many rounds declare the same project again and again.
const PROJECT: usize = 10;

/// After so many cases the log is proved whole.
const VERIFY: usize = 25;

/// An installation, and all runs that it has had.
pub(super) struct Bench {
    pub(super) installation: Installation,
    /// Cases whose point did not fire.
    pub(super) missed: Vec<String>,
    sink: Arc<Sink>,
    ended: Vec<Ended>,
    rounds: usize,
}

impl Bench {
    /// An installation that has done a round, so that it is known which processes pass what.
    pub(super) async fn new(installation: Installation) -> Self {
        let sink = Arc::new(Sink::start().unwrap());
        let mut bench = Self { installation, missed: Vec::new(), sink, ended: Vec::new(), rounds: 0 };
        let round = Round { project: "load".to_owned(), ..bench.round() };
        round.apply(&workload::project()).await.unwrap();
        bench.go(&[], true).await;
        let names = bench.installation.names();
        for name in &names {
            // What is passed on the way down is known in the long test alone.
            if full() {
                bench.installation.stop(name).unwrap();
                bench.installation.disarm(name).unwrap();
                bench.installation.wait_ready(name).unwrap();
            }
            bench.installation.read(name).unwrap();
        }
        bench
    }

    /// Whether a process of this installation passes a point.
    pub(super) fn passes(&self, point: &str) -> bool {
        !self.installation.passing(point).is_empty()
    }

    /// Whether it has several processes.
    pub(super) const fn is_many(&self) -> bool {
        self.installation.is_many()
    }

    /// Arms what passes the point, goes through a round, and judges it; how long the round took.
    pub(super) async fn try_case(&mut self, case: &Case, random: &mut SmallRng) -> Duration {
        if let Some((help, service)) = self.help(&case.point) {
            return self.try_helped(case, help, service).await;
        }
        let passing = self.installation.passing(&case.point);
        let (armed, most) = self.choose(&passing, random);
        // A round passes fewer than a life with its start did.
        let nth = if random.random_bool(0.6) { 1 } else { random.random_range(1..=most) };
        let what = |nth| format!("{}={}@{nth}", case.point, case.action.word());
        let (fired, took) = self.try_armed(&armed, &what(nth)).await;
        if fired || !full() {
            return took;
        }
        // The work may have gone to the others, or less often this way.
        let service = Self::service(&armed[0]);
        let names = self.installation.names();
        let all: Vec<_> = names.into_iter().filter(|name| Self::service(name) == service).collect();
        let (fired, took) = self.try_armed(&all, &what(1)).await;
        if !fired {
            self.missed.push(what(1));
        }
        took
    }

    /// The same with a round that is helped to pass the point, until it does.
    async fn try_helped(&mut self, case: &Case, help: Help, service: &str) -> Duration {
        let names = self.installation.names();
        let armed: Vec<_> = names.into_iter().filter(|name| Self::service(name) == service).collect();
        let what = help.armed(&case.point, case.action);
        let mut longest = Duration::ZERO;
        for _ in 0..TRIES {
            let (_, took) = self.try_round(&armed, &what, Some(help)).await;
            longest = longest.max(took);
            if self.installation.has_fired_at(&armed, &case.point) {
                return longest;
            }
        }
        self.missed.push(what);
        longest
    }

    /// The service that a process is one of.
    fn service(name: &str) -> String {
        name.split('-').next().unwrap_or_default().to_owned()
    }

    /// Arms processes, goes through a round, and judges it; whether a point fired, and how long the round took.
    pub(super) async fn try_armed(&mut self, armed: &[String], what: &str) -> (bool, Duration) {
        self.try_round(armed, what, None).await
    }

    async fn try_round(&mut self, armed: &[String], what: &str, help: Option<Help>) -> (bool, Duration) {
        let (begin, ends) = (Instant::now(), self.installation.ends());
        for name in armed {
            self.installation.arm(name, what).unwrap();
        }
        // What is made once for each project is passed again.
        let fresh = what.contains("secrets") || what.contains("keep") || help.is_some();
        match help {
            Some(Help::Takeover) => self.go_over(armed).await,
            Some(Help::Verify) => {
                self.go(armed, fresh).await;
                self.verify_patiently(armed);
            }
            Some(Help::Newcomer) => {
                for name in armed {
                    self.installation.wait_ready(name).unwrap();
                }
                self.installation.disarm("executor-1").unwrap();
                self.go(armed, fresh).await;
                self.installation.wait_ready("executor-1").unwrap();
            }
            Some(Help::StandStill | Help::OtherLane | Help::Surely) | None => self.go(armed, fresh).await,
        }
        let took = begin.elapsed();
        if !self.has_fired(armed) {
            // What is passed on the way down.
            for name in armed {
                self.installation.stop(name).unwrap();
            }
        }
        let fired = self.has_fired(armed);
        for name in armed {
            if !self.installation.has_fired(name).unwrap() {
                self.installation.disarm(name).unwrap();
            }
            self.installation.wait_ready(name).unwrap();
        }
        let ends = self.installation.ends() - ends;
        println!("case {what} in {} fired={fired} ends={ends} took={took:?}", armed.join(" and "));
        if judged() {
            assert!(took < LIMIT, "{what} took {took:?}");
        }
        self.judge(what);
        if self.rounds.is_multiple_of(VERIFY) {
            self.installation.verify().unwrap();
        }
        (fired, took)
    }

    /// One process of a service that passes the point; all of them where only one at a time does, since the others
    /// take over from one that is started again. With the number of passes that one life of it has.
    fn choose(&self, passing: &BTreeMap<String, u64>, random: &mut SmallRng) -> (Vec<String>, u64) {
        let services: BTreeSet<String> = passing.keys().map(|name| Self::service(name)).collect();
        let services: Vec<String> = services.into_iter().collect();
        let chosen = services.choose(random).unwrap();
        let all: Vec<String> =
            self.installation.names().into_iter().filter(|name| Self::service(name) == *chosen).collect();
        let those: Vec<&String> = all.iter().filter(|name| passing.contains_key(*name)).collect();
        if those.len() < all.len() {
            let most = those.iter().map(|name| passing[*name]).max().unwrap_or(1);
            return (all, most);
        }
        let one = (*those.choose(random).unwrap()).clone();
        let most = passing[&one];
        (vec![one], most)
    }

    fn round(&mut self) -> Round {
        self.rounds += 1;
        Round {
            url: self.installation.url(),
            channel: self.installation.channel().unwrap(),
            sink: self.sink.clone(),
            first: self.rounds * RUNS,
            project: "load".to_owned(),
        }
    }

    /// Goes through a round while armed processes that die are started again.
    async fn go(&mut self, armed: &[String], fresh: bool) {
        let mut round = self.round();
        round.project =
            if fresh { format!("fresh{}", self.rounds) } else { format!("round{}", self.rounds / PROJECT) };
        let running = tokio::spawn(round.go());
        while !running.is_finished() {
            for name in armed {
                self.installation.keep_up(name).unwrap();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.ended.extend(running.await.unwrap().unwrap());
    }

    /// Goes through a round while a run's work is on its way, with one of the armed processes killed meanwhile.
    async fn go_over(&mut self, armed: &[String]) {
        let mut round = self.round();
        round.project = format!("fresh{}", self.rounds);
        let held = round.first + RUNS;
        self.rounds += 1;
        let (channel, sink) = (round.channel.clone(), self.sink.clone());
        let running = tokio::spawn(async move {
            let with_work = Workload::through(channel, &sink, "hold");
            let flow = format!("{}/work", round.project);
            round.apply(&workload::project_of(&round.project, "")).await?;
            let (one, others) = tokio::join!(with_work.one_of(&flow, held), round.go());
            let mut ended = others?;
            ended.push(one?);
            anyhow::Ok(ended)
        });
        let begin = format!("{held}-");
        let mut struck = false;
        while !running.is_finished() {
            for name in armed {
                self.installation.keep_up(name).unwrap();
            }
            let is_held = || self.sink.ledger().unwrap().iter().any(|entry| entry.target.starts_with(&begin));
            if !struck && is_held() {
                self.installation.strike(&armed[self.rounds % armed.len()]).unwrap();
                for name in armed {
                    self.installation.wait_ready(name).unwrap();
                }
                self.sink.release_before(held + 1);
                struck = true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.ended.extend(running.await.unwrap().unwrap());
    }

    /// Has the log proved whole, by whoever is there: a process that dies over it is started again.
    fn verify_patiently(&mut self, armed: &[String]) {
        // The load balancer may take a moment to see who is back.
        let whole = wait("the log to be proved whole", || {
            for name in armed {
                self.installation.wait_ready(name)?;
            }
            Ok(self.installation.verify().is_ok().then_some(()))
        });
        if whole.is_err() {
            self.installation.verify().unwrap();
        }
    }

    /// Whether one of the armed processes did what it was armed for.
    fn has_fired(&mut self, armed: &[String]) -> bool {
        armed.iter().any(|name| self.installation.has_fired(name).unwrap())
    }

    /// All runs ended well, and none of their effects is missing or there twice.
    fn judge(&self, what: &str) {
        let failed: Vec<_> = self.ended.iter().filter(|ended| ended.status != "success").collect();
        assert!(failed.is_empty(), "{what}: runs that did not end well: {failed:#?}");
        let verdict = workload::judge(&self.sink, &self.ended).unwrap();
        let clean = Verdict { repeats: verdict.repeats, refused: verdict.refused, ..Verdict::default() };
        assert_eq!(verdict, clean, "{what}: lost or doubled effects");
    }

    /// The same once more, with the log.
    pub(super) async fn judge_all(&mut self) {
        self.judge("at the end");
        self.installation.verify().unwrap();
    }
}
