//! Given a project's history, when somebody asks for something, then these events or this refusal.

mod delivery;
mod fixtures;
mod membership;
mod properties;
mod removing;
mod resources;
mod stages;

use shipway_events::project::Event;

use super::{Command, ProjectState, Why, decide, evolve};

/// A project with a history.
struct Given(ProjectState);

fn given(history: impl IntoIterator<Item = Event>) -> Given {
    Given(history.into_iter().fold(ProjectState::default(), |state, event| evolve(state, &event)))
}

impl Given {
    fn when(&self, command: Command) -> Outcome {
        Outcome { result: decide(&self.0, &command), state: self.0.clone(), command }
    }
}

struct Outcome {
    result: Result<Vec<Event>, super::Rejection>,
    state: ProjectState,
    command: Command,
}

impl Outcome {
    /// These events and no others; the same command once more changes nothing.
    fn then(self, expected: &[Event]) -> Given {
        let events = self.result.expect("the command is taken");
        assert_eq!(events, expected);
        let state = events.iter().fold(self.state, evolve);
        let again = decide(&state, &self.command);
        let over = matches!(self.command, Command::RemoveMember { .. } | Command::DeletePipeline { .. });
        assert!(over || again == Ok(Vec::new()), "applied twice: {again:?}");
        Given(state)
    }

    /// Refused for these reasons and no others, at these places; every reason has a way out.
    fn refused(self, expected: &[(&str, Why)]) {
        let rejection = self.result.expect_err("the command is refused");
        let found: Vec<_> = rejection
            .refusals
            .iter()
            .map(|refusal| (refusal.pointer.as_str(), refusal.why.clone()))
            .collect();
        assert_eq!(found, expected);
        for refusal in &rejection.refusals {
            assert!(!refusal.why.help().is_empty());
        }
    }
}
