//! Whose approval counts: distinct people, those who are meant, not the author, and for the plan as it is.

use proptest::prelude::*;
use shipway_events::{
    Actor, Cause, CommandId, Meta, NodeStatus, Recorded, Roster, Timestamp, TokenId, org, run,
};

use crate::{rules::rule, story::Story};

const TWO: &str = "main: sequential\n  gate: Approval approve=2\n  after: Noop";
const LEADS: &str = "main: sequential\n  gate: Approval approve=1 by=lead,bo\n  after: Noop";
const OTHER: &str = "main: sequential\n  gate: Approval approve=1 notAuthor\n  after: Noop";
const ANY: &str = "main: sequential\n  gate: Approval approve=1\n  after: Noop";

const GOES_ON: [&str; 3] =
    ["approval given gate by=bo", "node succeeded gate", "attempt requested after attempt=1 on=a"];
const NO_NAME: [&str; 1] = [
    "nobody in particular may not approve this: it says who may, or how many different people have to; prove who you are \
     with a token (`SHIPWAY_TOKEN`)",
];

/// What was refused, without the word that says so.
fn refused(story: &mut Story, line: &str) -> String {
    story.tell(line).join("\n").trim_start_matches("refused: ").to_owned()
}

#[test]
fn different_people_are_different_names() {
    rule(TWO, &["start"], "approve gate cy", &["approval given gate by=cy"]);
    rule(TWO, &["start", "approve gate cy"], "approve gate cy", &[]);
    rule(TWO, &["start", "approve gate cy"], "approve gate CY", &[]);
    rule(TWO, &["start", "approve gate cy"], "approve gate bo", &GOES_ON);
}

#[test]
fn a_role_is_meant_like_a_name() {
    rule(LEADS, &["start"], "approve gate bo", &GOES_ON);
    let mut story = Story::new(LEADS);
    story.tell("start");
    let said = refused(&mut story, "approve gate cy/viewer");
    assert_eq!(said, "cy may not approve or reject this: lead and bo may");
    assert_eq!(refused(&mut story, "reject gate cy/viewer"), said, "nor reject it");
    assert_eq!(story.tell("approve gate cy/viewer,lead").len(), 3);
}

#[test]
fn who_proves_no_name_counts_only_where_anybody_does() {
    rule(
        ANY,
        &["start"],
        "approve gate ?",
        &["approval given gate by=local", "node succeeded gate", "attempt requested after attempt=1 on=a"],
    );
    for plan in [TWO, OTHER] {
        let mut story = Story::new(plan);
        story.tell("start");
        assert_eq!(refused(&mut story, "approve gate ?"), NO_NAME[0]);
    }
    let mut story = Story::new(LEADS);
    story.tell("start");
    assert!(refused(&mut story, "approve gate ?").starts_with("local may not approve or reject this"));
}

#[test]
fn who_started_it_may_not_approve_it() {
    let said = |author: &str, by: &str| {
        let mut story = Story::new(OTHER);
        story.tell(&format!("start by={author}"));
        refused(&mut story, &format!("approve gate {by}"))
    };
    for (author, by) in [("bo", "bo"), ("hook:Bo", "bo"), ("bo", "Bo")] {
        let expected = format!("{by} started this run and may not approve it: another person has to");
        assert_eq!(said(author, by), expected);
    }
    for author in ["ana", "hook:ana", "schedule"] {
        rule(OTHER, &[&format!("start by={author}")], "approve gate bo", &GOES_ON);
    }
}

#[test]
fn a_gate_that_nobody_could_ever_pass_fails_at_once() {
    let story = rule(
        OTHER,
        &[],
        "start by=?",
        &[
            "started",
            "node failed gate code=unknown_author",
            "ended status=failure because=the node `gate` failed (unknown_author)",
        ],
    );
    let error = story.state.nodes()[1].error.as_ref().unwrap();
    assert!(error.message.contains("started without a token"), "{}", error.message);
    // Where the author does not matter, nobody has to know them.
    rule(ANY, &["start by=?"], "approve gate bo", &GOES_ON);
}

#[test]
fn an_approval_of_another_plan_is_void() {
    let mut story = Story::new(TWO);
    story.tell("start");
    let given = |by: &str, plan: &str| Recorded {
        position: 9,
        version: 9,
        at: Timestamp::from_micros(9),
        meta: Meta { actor: Actor::Person(by.to_owned()), cause: Cause::Request, trace: None },
        command: CommandId::new(uuid::Uuid::nil()),
        event: run::ApprovalGiven {
            node: 1,
            by: Actor::Person(by.to_owned()),
            plan: plan.to_owned(),
            reason: String::new(),
        }
        .into(),
    };
    story.state.evolve(&given("cy", "sha256:before"), 0);
    assert_eq!((story.state.approvals(1).count(), story.state.missing_approvals(1)), (0, 2));
    assert_eq!(story.tell("approve gate bo").len(), 1, "it is the first that counts");
    // Whoever approved what was before approves what is there now like anybody else.
    assert_eq!(story.tell("approve gate cy").len(), 3);
}

#[test]
fn who_may_still_approve_is_known_from_the_tokens() {
    let mut roster = Roster::default();
    for (n, name, roles) in [(1, "ana", "lead"), (2, "bo", ""), (3, "cy", "lead"), (4, "dan", "viewer")] {
        let created = org::TokenCreated {
            token: TokenId::new(uuid::Uuid::from_u128(n)),
            name: name.to_owned(),
            roles: vec![roles.to_owned()],
            hash: String::new(),
        };
        roster.evolve(&Recorded {
            position: 1,
            version: 1,
            at: Timestamp::from_micros(0),
            meta: Meta { actor: Actor::nobody(), cause: Cause::Request, trace: None },
            command: CommandId::new(uuid::Uuid::nil()),
            event: created.into(),
        });
    }
    let mut story = Story::new("main: sequential\n  gate: Approval approve=2 by=lead,bo notAuthor");
    assert!(story.state.may_still_approve(1, &roster).is_empty(), "nothing is asked yet");
    story.tell("start by=ana");
    assert_eq!(story.state.may_still_approve(1, &roster), ["bo", "cy"], "not the author");
    story.tell("approve gate cy/lead");
    assert_eq!(story.state.may_still_approve(1, &roster), ["bo"], "not twice");
}

proptest! {
    /// Whoever comes in whatever order: the gate opens when so many different people who are meant, not the author and
    /// known by their tokens have approved, and never before.
    #[test]
    fn a_gate_opens_for_enough_different_people_and_for_nobody_else(
        amount in 1_u32..4,
        named in any::<bool>(),
        not_author in any::<bool>(),
        author in prop::sample::select(vec!["ana", "hook:bo", "schedule"]),
        who in prop::collection::vec(prop::sample::select(vec!["ana", "bo/lead", "BO/lead", "cy/lead", "dan", "eve", "?"]), 0..12),
    ) {
        let mut gate = format!("main: sequential\n  gate: Approval approve={amount}");
        if named {
            gate += " by=lead,eve";
        }
        if not_author {
            gate += " notAuthor";
        }
        let mut story = Story::new(&gate);
        story.tell(&format!("start by={author}"));
        let author = author.trim_start_matches("hook:");
        let tells_apart = amount > 1 || named || not_author;
        let mut counted = std::collections::BTreeSet::new();
        for word in who {
            let open = counted.len() < amount as usize;
            let name = word.split('/').next().unwrap().to_lowercase();
            let meant = !named || word.contains("lead") || word == "eve";
            let proves = word != "?" || !tells_apart;
            if open && meant && proves && !(not_author && name == author) {
                counted.insert(name);
            }
            story.tell(&format!("approve gate {word}"));
            let passed = story.state.nodes()[1].status == NodeStatus::Success;
            prop_assert_eq!(passed, counted.len() >= amount as usize);
        }
    }
}
