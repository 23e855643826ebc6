//! Why something does not go on: what holds it up, who has that in hand, since when, until when, and what clears it.
//!
//! The engine says what each node of a run waits for; the hosts' side of it, who may clear it and how long it took before
//! are added here. The kinds and what clears them are one list: `shipway_contracts::blockers`.

mod digest;
mod ended;
mod held;
mod history;
mod node;
mod room;
mod stage;

use shipway_contracts::{
    Error,
    blockers::{Facts, Kind, sort},
    v1::{Blocker, WhyReply, WhyRequest, runs_client::RunsClient},
};
use shipway_engine::{RunState, why};
use shipway_events::{RunId, Timestamp};
use tonic::metadata::MetadataMap;

use self::history::History;
pub(crate) use room::waits_for_move;

use crate::{cluster::passed_on, run::present, service::Shared, start::from_status};

impl Shared {
    /// Why a run, a node, a stage's runs or a digest do not go on.
    pub(crate) async fn why(&self, request: WhyRequest, metadata: &MetadataMap) -> Result<WhyReply, Error> {
        let what = request.what.trim();
        if let Some(digest) = what.strip_prefix("sha256:") {
            return self.why_digest(digest, &request.project).await;
        }
        if what.contains('/') {
            return self.why_stage(what, &request.project).await;
        }
        let run = self.find_run(what).await?;
        if let Some(peer) = self.elsewhere(run, metadata).await? {
            let message = WhyRequest { what: run.to_string(), ..request };
            let reply = RunsClient::new(peer.channel).why(passed_on(metadata, message)).await;
            return Ok(reply.map_err(from_status)?.into_inner());
        }
        let state = self.book.look(run).await?;
        let now = self.log.now();
        match request.node.as_str() {
            "" => self.why_run(&state, now).await,
            node => self.why_node(&state, node, now).await,
        }
    }

    async fn why_run(&self, state: &RunState, now: Timestamp) -> Result<WhyReply, Error> {
        let blockers = self.blockers(state, now).await?;
        let status = state.status().to_string();
        let about = about(state);
        let sentence = match blockers.as_slice() {
            [] if state.ended().is_some() => format!("{about} has ended as {status}: nothing holds it up"),
            [] => format!("{about} is {status}, and nothing holds it up"),
            [first, rest @ ..] => format!("{about} is {status}: {}{}", first.words, and_more(rest)),
        };
        Ok(self.reply("run", sentence, status, blockers))
    }

    async fn why_node(&self, state: &RunState, name: &str, now: Timestamp) -> Result<WhyReply, Error> {
        let n = state
            .node_by_name(name)
            .ok_or_else(|| Error::not_found(format!("the run has no node `{name}`")))?;
        let status = state.node(n).map(|node| node.status.to_string()).unwrap_or_default();
        let all = self.blockers(state, now).await?;
        let is_inside = |blocker: &Blocker| {
            let mut at = state.node_by_name(&blocker.node);
            while let Some(node) = at.filter(|node| *node != n) {
                at = state.plan_node(node).and_then(|plan| plan.parent);
            }
            at == Some(n)
        };
        let (own, mut others): (Vec<Blocker>, Vec<Blocker>) = all.into_iter().partition(is_inside);
        let ended = state.node(n).is_some_and(|node| node.status.is_terminal());
        // What comes before it says more than that something does.
        others.retain(|other| !ended && own.iter().all(waits_for_steps) && !waits_for_steps(other));
        let mut blockers: Vec<Blocker> = others;
        blockers.extend(own.clone());
        sort(&mut blockers);
        let sentence = match (own.first(), blockers.first()) {
            (Some(own), first) => {
                let more = first.filter(|first| *first != own);
                format!("{}{}", own.words, more.map(|more| format!("; {}", more.words)).unwrap_or_default())
            }
            (None, Some(first)) => format!("`{name}` has not had its turn: {}", first.words),
            (None, None) => node::settled(state, n, name),
        };
        Ok(self.reply("node", sentence, status, blockers))
    }

    /// What holds a run up, in order; why it ended as it did, if that was not well.
    pub(crate) async fn blockers(&self, state: &RunState, now: Timestamp) -> Result<Vec<Blocker>, Error> {
        let Some(started) = state.started() else { return Ok(Vec::new()) };
        let found = why(state, now);
        if found.is_empty() {
            return Ok(ended::why(state));
        }
        let history = self.history(&started.project.to_string(), &started.path).await?;
        let mut blockers = Vec::with_capacity(found.len());
        for blocker in &found {
            blockers.push(self.told(state, blocker, &history).await?);
        }
        sort(&mut blockers);
        Ok(blockers)
    }

    /// Why the holder of something does not go on itself: what holds it up first.
    async fn because(&self, run: RunId) -> Option<Blocker> {
        let state = self.book.look(run).await.ok()?;
        let found = why(&state, self.log.now());
        let history = History::default();
        let mut told = Vec::new();
        for blocker in &found {
            // One step is enough: who asks on asks about that run.
            told.push(Box::pin(self.told_shallow(&state, blocker, &history)).await.ok()?);
        }
        sort(&mut told);
        told.into_iter().next()
    }

    fn reply(&self, subject: &str, sentence: String, status: String, blockers: Vec<Blocker>) -> WhyReply {
        WhyReply {
            subject: subject.to_owned(),
            sentence,
            status,
            blockers,
            as_of: self.log.now().to_string(),
            position: *self.log.tail().borrow(),
            ..WhyReply::default()
        }
    }
}

/// A run as sentences name it.
fn about(state: &RunState) -> String {
    state.started().map_or_else(String::new, |started| {
        let id = started.run.to_string();
        // As many characters as other places show.
        format!("{} {}", started.path, id.get(..13).unwrap_or(&id))
    })
}

fn and_more(rest: &[Blocker]) -> String {
    match rest.iter().filter(|blocker| !waits_for_steps(blocker)).count() {
        0 => String::new(),
        1 => " (and one thing more)".to_owned(),
        more => format!(" (and {more} things more)"),
    }
}

fn waits_for_steps(blocker: &Blocker) -> bool {
    Kind::parse(&blocker.kind) == Some(Kind::Steps)
}

/// The names that commands about a run need.
fn facts(state: &RunState, node: &str) -> Facts {
    let started = state.started();
    Facts {
        run: started.map(|started| started.run.to_string()).unwrap_or_default(),
        path: started.map(|started| started.path.clone()).unwrap_or_default(),
        node: node.to_owned(),
        ..Facts::default()
    }
}

/// A time as answers have it.
fn at(at: Timestamp) -> String {
    present::text(Some(at))
}
