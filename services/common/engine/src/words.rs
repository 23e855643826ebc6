//! What people call a run, and what they say about it.

use std::sync::Arc;

use shipway_events::run::NotedWords;

use crate::{RunState, decide::Decision};

impl Decision<'_> {
    /// Also what has ended can be called something else.
    pub(crate) fn describe(&mut self, words: &NotedWords) {
        let Some(started) = self.state.started() else { return };
        let is_new = |given: &Option<String>, known: &str| given.as_ref().is_some_and(|given| given != known);
        if is_new(&words.name, &started.name) || is_new(&words.description, &started.description) {
            self.record(words.clone());
        }
    }
}

impl RunState {
    pub(crate) fn note_words(&mut self, words: &NotedWords) {
        let Some(started) = self.started.as_mut().map(Arc::make_mut) else { return };
        if let Some(name) = &words.name {
            name.clone_into(&mut started.name);
        }
        if let Some(description) = &words.description {
            description.clone_into(&mut started.description);
        }
    }
}
