//! The rules of a trigger that were asked, and what follows from their words.

use shipway_events::delivery::{RuleOutcome, RuleVerdict};

use super::{Needs, listed};
use crate::domain::glob;

/// What each rule said so far.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) rules: Vec<RuleVerdict>,
    needs: Needs,
}

impl Asked {
    pub(super) fn pass(&mut self, rule: &str, words: String) {
        self.say(rule, RuleOutcome::Passed, words);
    }

    pub(super) fn fail(&mut self, rule: &str, words: String) {
        self.say(rule, RuleOutcome::Failed, words);
    }

    /// A rule that keeps everything else from counting: it is the reason, whatever the others say.
    pub(super) fn fail_first(&mut self, rule: &str, words: String) {
        self.rules.insert(0, verdict(rule, RuleOutcome::Failed, words));
    }

    /// A rule that cannot tell before the repository has answered.
    pub(super) fn open(&mut self, rule: &str, words: &str, need: impl FnOnce(&mut Needs)) {
        self.say(rule, RuleOutcome::Open, words.to_owned());
        need(&mut self.needs);
    }

    fn say(&mut self, rule: &str, outcome: RuleOutcome, words: String) {
        self.rules.push(verdict(rule, outcome, words));
    }

    /// Asks a list of patterns, of which one has to fit.
    pub(super) fn patterns(&mut self, rule: &str, patterns: &[String], name: &str) {
        match (patterns.iter().find(|pattern| glob::matches(pattern, name)), patterns) {
            (Some(pattern), _) => self.pass(rule, format!("{rule} {name} matches the rule {pattern}")),
            (None, []) => self.fail(
                rule,
                format!("the trigger has no {rule} rule, and none never matches; give `*` for every {rule}"),
            ),
            (None, rules) => {
                self.fail(rule, format!("{rule} {name} matches none of the rules {}", listed(rules)));
            }
        }
    }

    /// Whether the flow is to be started.
    pub(super) fn passed(&self) -> bool {
        self.rules.iter().all(|rule| rule.outcome == RuleOutcome::Passed)
    }

    /// What the repository has to tell: nothing if it could not change the verdict.
    pub(super) fn needs(&self) -> Needs {
        if self.first(RuleOutcome::Failed).is_some() { Needs::default() } else { self.needs }
    }

    /// The verdict in one line: the first rule that failed, else what is waited for, else the first that passed.
    pub(super) fn reason(&self) -> String {
        if let Some(failed) = self.first(RuleOutcome::Failed) {
            return failed.words.clone();
        }
        if let Some(open) = self.first(RuleOutcome::Open) {
            return format!("waits for the repository: {}", open.words);
        }
        self.first(RuleOutcome::Passed).map(|passed| passed.words.clone()).unwrap_or_default()
    }

    fn first(&self, outcome: RuleOutcome) -> Option<&RuleVerdict> {
        self.rules.iter().find(|rule| rule.outcome == outcome)
    }
}

fn verdict(rule: &str, outcome: RuleOutcome, words: String) -> RuleVerdict {
    // They may quote what somebody called a branch.
    RuleVerdict { rule: rule.to_owned(), outcome, words: words.replace(char::is_control, " ") }
}
