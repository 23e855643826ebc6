//! What is known of a node's outputs before its work has ended.

use serde_json::{Map, Value, json};

use crate::workload::{Release, Workload};

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
            });
            if let Some(sha) = &build.sha {
                known["sha"] = sha.as_str().into();
            }
            if let Some(number) = build.pull_request {
                known["pullRequestId"] = number.into();
            }
            known
        }
        Workload::Release(release) => json!({
            "id": release.target.slug,
            "digest": release.artifact.digest,
            "sha": release.artifact.commit,
            "branch": release.artifact.branch,
            "buildId": release.artifact.build,
            "ports": ports(release),
        }),
        Workload::Job(job) => json!({ "id": job.job_run, "runName": job.job_run, "jobId": job.job.slug }),
        Workload::Backup(backup) => {
            json!({ "id": backup.backup, "name": backup.backup, "addonId": backup.addon.addon.slug })
        }
        Workload::Addon(addon) => json!({ "id": addon.addon.slug }),
        Workload::Restore(restore) => json!({ "id": restore.backup, "addonId": restore.addon.addon.slug }),
        Workload::Exec(_)
        | Workload::Kept(_)
        | Workload::Restart(_)
        | Workload::Noop(_)
        | Workload::Await(_)
        | Workload::Message(_)
        | Workload::Comment(_) => Value::Null,
    };
    match value {
        Value::Object(known) => known,
        _ => Map::new(),
    }
}

/// Where a service is reached: every port is one of this machine.
fn ports(release: &Release) -> Vec<Value> {
    let ports = release.service.iter().flat_map(|service| &service.ports);
    ports
        .map(|port| {
            json!({ "name": port.name, "public": port.public, "dns": format!("127.0.0.1:{}", port.public) })
        })
        .collect()
}
