//! What is said of a run, and when. Pure.

use std::time::Duration;

use serde_json::Value;
use shipway_events::{
    Position, RunStatus, Timestamp,
    run::{Ended, Origin, Started},
};
use shipway_forge::{State, Status};

use super::rows::{Row, Said};

/// The first pause before something is said again, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(900));

/// What is to be said when a run has started: of those that an event of a Git host started, whose trigger has a commit.
pub(super) fn started(started: &Started, position: Position) -> Option<Row> {
    if started.origin != Origin::Git {
        return None;
    }
    let (trigger, repository, commit) = started.plan.triggers.iter().find_map(|(trigger, values)| {
        let text = |name: &str| values.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        Some((trigger, text("repoUrl")?, text("sha")?))
    })?;
    Some(Row {
        run: started.run.to_string(),
        project: started.project.to_string(),
        flow: started.flow.to_string(),
        trigger: trigger.clone(),
        path: started.path.clone(),
        name: started.name.clone(),
        repository: repository.to_owned(),
        commit: commit.to_owned(),
        said: Said { state: State::Pending, words: "is running".to_owned(), position },
        tries: 0,
        until: 0,
    })
}

/// What is to be said when a run has ended.
///
/// One that another run kept from beginning has shown nothing of the commit. One that its own flow skipped has done what
/// the flow asks of that commit: nothing.
pub(super) fn ended(ended: &Ended) -> (State, String) {
    let (state, words) = match (ended.status, ended.by) {
        (RunStatus::Success, _) => (State::Success, "went well"),
        (RunStatus::Skipped, Some(_)) => (State::Skipped, "did not run"),
        (RunStatus::Skipped, None) => (State::Success, "had nothing to do"),
        (RunStatus::Aborted, _) => (State::Aborted, "was stopped"),
        _ => (State::Failure, "failed"),
    };
    match &ended.reason {
        Some(reason) => (state, format!("{words}: {}", reason.replace(char::is_control, " "))),
        None => (state, words.to_owned()),
    }
}

/// A row as the status of its commit.
pub(super) fn status(row: &Row, address: Option<&str>) -> Status {
    Status {
        state: row.said.state,
        context: format!("shipway/{}", row.path),
        description: format!("{} {}", row.name, row.said.words),
        // The page for people lists the newest runs, each under its id.
        target: address.map(|address| format!("{}/#{}", address.trim_end_matches('/'), row.run)),
    }
}

/// When something that is said of `at` is given up.
pub(super) fn until(at: Timestamp, give_up: Duration) -> Timestamp {
    after(at, give_up)
}

/// When it is said again after so many tries; none if that is too late. A host that says how long it wants to be left
/// alone is.
pub(super) fn again(
    now: Timestamp,
    tries: u32,
    asked: Option<Duration>,
    until: Timestamp,
) -> Option<Timestamp> {
    let doubled = PAUSES.0.saturating_mul(1 << tries.saturating_sub(1).min(16)).min(PAUSES.1);
    Some(after(now, asked.map_or(doubled, |asked| asked.max(PAUSES.0)))).filter(|at| *at < until)
}

fn after(at: Timestamp, pause: Duration) -> Timestamp {
    Timestamp::from_micros(at.micros().saturating_add(i64::try_from(pause.as_micros()).unwrap_or(i64::MAX)))
}

/// A state in a word, for the row.
pub(super) const fn word(state: State) -> &'static str {
    match state {
        State::Pending => "pending",
        State::Success => "success",
        State::Failure => "failure",
        State::Aborted => "aborted",
        State::Skipped => "skipped",
    }
}

/// The state of that word.
pub(super) fn state(word: &str) -> State {
    let all = [State::Pending, State::Success, State::Aborted, State::Skipped];
    all.into_iter().find(|state| self::word(*state) == word).unwrap_or(State::Failure)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shipway_events::{FlowId, ProjectId, RunId, plan::Plan};
    use uuid::Uuid;

    use super::*;

    fn run(origin: Origin, triggers: &Value) -> Started {
        Started {
            run: RunId::new(Uuid::from_u128(1)),
            project: ProjectId::new(Uuid::from_u128(2)),
            pipeline: None,
            flow: FlowId::new(Uuid::from_u128(3)),
            path: "shop/development".to_owned(),
            flow_version: 1,
            name: "main-push-3f2a91".to_owned(),
            description: String::new(),
            origin,
            author: None,
            parent: None,
            policy: shipway_events::ConcurrencyPolicy::Allow,
            rollback: None,
            plan: Plan { triggers: triggers.as_object().unwrap().clone(), ..Plan::default() },
        }
    }

    #[test]
    fn runs_that_a_git_host_started_are_said_of_the_commit_that_started_them() {
        let triggers = json!({
            "other": {"repoUrl": "https://github.com/acme/web", "branch": "main"},
            "main": {"repoUrl": "https://github.com/acme/api", "branch": "main", "sha": "a1".repeat(20)},
        });
        let row = started(&run(Origin::Git, &triggers), 7).unwrap();
        assert_eq!((row.trigger.as_str(), row.repository.as_str()), ("main", "https://github.com/acme/api"));
        let said = status(&row, Some("https://shipway.example.org/"));
        assert_eq!(said.context, "shipway/shop/development");
        assert_eq!((said.state, said.description.as_str()), (State::Pending, "main-push-3f2a91 is running"));
        assert_eq!(
            said.target.as_deref(),
            Some("https://shipway.example.org/#00000000-0000-0000-0000-000000000001")
        );
        assert_eq!(status(&row, None).target, None);
        assert!(started(&run(Origin::Manual, &triggers), 7).is_none());
        assert!(
            started(&run(Origin::Git, &json!({"main": {"repoUrl": "x", "branch": "main"}})), 7).is_none()
        );
    }

    #[test]
    fn every_end_has_its_state_and_words() {
        let end_by = |status, reason: Option<&str>, by| {
            ended(&Ended { status, reason: reason.map(str::to_owned), by })
        };
        let end = |status, reason| end_by(status, reason, None);
        assert_eq!(end(RunStatus::Success, None), (State::Success, "went well".to_owned()));
        assert_eq!(end(RunStatus::Failure, Some("a\nb")), (State::Failure, "failed: a b".to_owned()));
        assert_eq!(
            end(RunStatus::Aborted, Some("by ada")),
            (State::Aborted, "was stopped: by ada".to_owned())
        );
        // Skipped by its own flow, and for another run.
        assert_eq!(end(RunStatus::Skipped, None), (State::Success, "had nothing to do".to_owned()));
        let other = RunId::new(Uuid::from_u128(7));
        assert_eq!(
            end_by(RunStatus::Skipped, Some("superseded by run 7"), Some(other)),
            (State::Skipped, "did not run: superseded by run 7".to_owned())
        );
        for one in [State::Pending, State::Success, State::Failure, State::Aborted, State::Skipped] {
            assert_eq!(state(word(one)), one);
        }
    }

    #[test]
    fn pauses_grow_and_end() {
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        let pause = |tries, asked: Option<u64>| {
            let again = again(at(0), tries, asked.map(Duration::from_secs), at(86_400))?;
            Some(again.millis() / 1000)
        };
        assert_eq!([1, 2, 3, 4].map(|tries| pause(tries, None)), [Some(2), Some(4), Some(8), Some(16)]);
        assert_eq!((pause(30, None), pause(u32::MAX, None)), (Some(900), Some(900)));
        assert_eq!(
            (pause(1, Some(60)), pause(1, Some(0)), pause(1, Some(90_000))),
            (Some(60), Some(2), None)
        );
        assert_eq!(again(at(0), 1, None, at(2)), None);
    }
}
