//! What is known of a node's outputs before its work has ended.

use serde_json::{Map, Value, json};

use crate::workload::Workload;

/// The outputs that are known as soon as the work starts: ids, and what was pinned. An executor sends them
/// with `Started`, and again with what it found out when the work has ended.
#[must_use]
pub fn outputs_at_start(work: &Workload) -> Map<String, Value> {
    let value = match work {
        Workload::Build(build) => {
            let mut known = json!({
                "id": build.build,
                "branch": build.branch,
                "nfObjectId": build.service.slug,
                "internalId": build.build,
            });
            if let Some(sha) = &build.sha {
                known["sha"] = sha.as_str().into();
            }
            known
        }
        Workload::Release(release) => json!({
            "id": release.target.slug,
            "digest": release.artifact.digest,
            "build": release.artifact.build,
            "commit": release.artifact.commit,
            "branch": release.artifact.branch,
            "service": release.artifact.service,
        }),
        Workload::Job(job) => json!({ "id": job.job_run, "runName": job.job_run, "jobId": job.job.slug }),
        Workload::Backup(backup) => {
            json!({ "id": backup.backup, "name": backup.backup, "addonId": backup.addon.addon.slug })
        }
        Workload::Addon(addon) => json!({ "id": addon.addon.slug }),
        Workload::Restore(restore) => json!({ "id": restore.backup }),
        Workload::Exec(exec) => json!({ "id": exec.target.slug }),
        Workload::Restart(restart) => json!({ "id": restart.target.slug }),
        Workload::Noop(_) | Workload::Await(_) | Workload::Message(_) => Value::Null,
    };
    match value {
        Value::Object(known) => known,
        _ => Map::new(),
    }
}
