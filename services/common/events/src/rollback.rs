//! What marks a run as a rollback: which release it undoes, and to which it goes back.

use serde::{Deserialize, Serialize};

use crate::{RunId, Timestamp};

/// A run of a stage's flow is a release; with this in its start it is a rollback.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollback {
    /// The run whose release it undoes: what ran in the stage when it was planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<RunId>,
    /// The run that it goes back to: its release is what runs afterwards. None where a time was asked for before which
    /// no run of the flow had released anything by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<RunId>,
    /// The moment whose state it brings back.
    pub at: Timestamp,
    /// The version of the flow that was put back, if it was.
    #[serde(default, rename = "flowVersion", skip_serializing_if = "Option::is_none")]
    pub flow_version: Option<u32>,
    /// What is left, by the resource's id in documents: the digests that ran there.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub left: std::collections::BTreeMap<String, String>,
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_rollback_is_written_by_names_that_stay() {
        let rollback = Rollback {
            of: Some(RunId::new(Uuid::from_u128(2))),
            to: Some(RunId::new(Uuid::from_u128(1))),
            at: Timestamp::from_micros(5_000_000),
            flow_version: Some(3),
            left: [("web".to_owned(), "sha256:2".to_owned())].into(),
        };
        let text =
            r#"{"of":"00000000-0000-0000-0000-000000000002","to":"00000000-0000-0000-0000-000000000001","#;
        let written = serde_json::to_string(&rollback).unwrap();
        assert!(written.starts_with(text), "{written}");
        assert!(written.ends_with(r#""flowVersion":3,"left":{"web":"sha256:2"}}"#), "{written}");
        assert_eq!(serde_json::from_str::<Rollback>(&written).unwrap(), rollback);
        let little: Rollback = serde_json::from_str(r#"{"at":5000000}"#).unwrap();
        assert_eq!((little.of, little.at), (None, rollback.at));
    }
}
