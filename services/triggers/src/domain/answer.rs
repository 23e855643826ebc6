//! What a sender gets to hear. Made from what is stored alone, so that a repeat hears the same.

use serde::{Deserialize, Serialize};
use shipway_events::{DeliveryId, RunId, delivery::Verdict};

/// The body of a 202.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The delivery; of a duplicate, the first one.
    pub delivery: DeliveryId,
    /// The runs that follow.
    pub runs: Vec<Run>,
    /// What happened, in words.
    pub message: String,
}

/// A run that follows from a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The flow by the names people use: `shop/development`.
    pub flow: String,
    /// The run.
    pub id: RunId,
    /// What people will call it.
    pub name: String,
    /// Where it stands at this moment: always `pending`, it has not been started.
    pub status: String,
}

/// The answer to a delivery.
#[must_use]
pub fn answer(delivery: DeliveryId, summary: &str, verdicts: &[Verdict]) -> Answer {
    let runs: Vec<Run> = verdicts
        .iter()
        .filter_map(|verdict| {
            Some(Run {
                flow: verdict.path.clone(),
                id: verdict.run(delivery)?,
                name: verdict.run_name(delivery),
                status: "pending".to_owned(),
            })
        })
        .collect();
    let message = match (runs.len(), verdicts) {
        (0, []) => format!("{summary}: no trigger listens to it"),
        (0, [only]) => format!("{summary}: {}", only.reason),
        (0, several) if several.iter().any(Verdict::is_open) => {
            let open = several.iter().filter(|verdict| verdict.is_open());
            let reasons: Vec<String> = open.map(|v| format!("{}: {}", v.path, v.reason)).collect();
            format!("{summary}: {}", reasons.join("; "))
        }
        (0, several) => {
            let reasons: Vec<String> = several.iter().map(|v| format!("{}: {}", v.path, v.reason)).collect();
            format!("{summary}: no trigger matches ({})", reasons.join("; "))
        }
        (1, _) => format!("{summary}: 1 run follows"),
        (many, _) => format!("{summary}: {many} runs follow"),
    };
    Answer { delivery, runs, message }
}
