//! Triggers that releases and checks fire.

use serde_json::{Map, Value, json};

use super::{Asked, Case, listened, object};
use crate::domain::{
    push::{CheckSuite, Release, short},
    trigger::{GitRule, Listens},
};

impl Case<'_> {
    /// Asks about a release.
    pub(super) fn release(
        &self,
        release: &Release,
        rule: &GitRule,
        asked: &mut Asked,
    ) -> Option<Map<String, Value>> {
        if rule.listens != Listens::Release {
            asked.fail(
                "event",
                format!("the trigger listens to {}, this is a release", listened(&rule.listens)),
            );
            return None;
        }
        asked.pass("event", format!("{} was published", release.summary()));
        let commit = self.commit(release.commit.as_deref(), asked);
        let mut values = object(json!({
            "tag": release.tag, "sha": commit, "repoUrl": rule.repository,
        }));
        values.extend(release.name.as_ref().map(|name| ("title".to_owned(), Value::from(name.as_str()))));
        Some(values)
    }

    /// Asks about checks that were completed.
    pub(super) fn check_suite(
        &self,
        suite: &CheckSuite,
        rule: &GitRule,
        asked: &mut Asked,
    ) -> Option<Map<String, Value>> {
        let Listens::CheckSuite { branches } = &rule.listens else {
            asked.fail(
                "event",
                format!("the trigger listens to {}, these are checks", listened(&rule.listens)),
            );
            return None;
        };
        let head = short(&suite.head);
        if !suite.succeeded {
            asked.fail("checks", format!("not all checks of {head} passed"));
            return None;
        }
        let Some((number, target)) = suite.pull_requests.first() else {
            asked.fail("event", format!("{head} is the newest commit of no pull request of this repository"));
            return None;
        };
        asked.pass("checks", format!("all checks of {head} passed"));
        let Some(branch) = &suite.branch else {
            asked.fail("branch", format!("the delivery does not tell the branch of {head}"));
            return None;
        };
        asked.patterns("branch", branches, branch);
        self.newest_flags(rule, suite.head_commit.as_ref(), asked);
        self.paths(rule, asked);
        Some(object(json!({
            "branch": branch, "sha": suite.head, "repoUrl": rule.repository,
            "pullRequestId": number, "targetBranch": target,
        })))
    }
}
