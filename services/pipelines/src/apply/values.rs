//! Values that do not belong into events: they go to the secrets' home, and their names take their places.

use serde_json::{Value, json};
use shipway_contracts::Error;
use shipway_documents::{plain_text, secret};
use shipway_events::{ProjectId, project::ResourceKind};
use zeroize::Zeroizing;

use crate::{
    change::secret_error,
    environment::password_name,
    secrets::{self, Pending, Secrets},
};

/// The spec as it goes into the event, and what is to be kept before.
pub(super) async fn take_out(
    secrets: &Secrets,
    project: ProjectId,
    kind: ResourceKind,
    slug: &str,
    spec: &Value,
) -> Result<(Value, Vec<Pending>), Error> {
    let (mut spec, mut pending) = (spec.clone(), Vec::new());
    match kind {
        ResourceKind::Addon => {
            let password = secrets.plan_random(project, &password_name(slug)).await.map_err(secret_error)?;
            if let Some(fields) = spec.as_object_mut() {
                fields.insert("credentials".into(), json!({"password": secret::mark(&password.secret)}));
            }
            pending.push(password);
        }
        ResourceKind::SecretGroup => {
            let variables = spec.pointer_mut("/secrets/variables").and_then(Value::as_object_mut);
            for (key, value) in variables.into_iter().flatten() {
                let name = format!("group/{slug}/{key}");
                pending.push(kept(secrets, project, &name, &format!("the variable `{key}`"), value).await?);
            }
            let files = spec.pointer_mut(secret::FILES).and_then(Value::as_object_mut);
            for (key, file) in files.into_iter().flatten() {
                let Some(data) = file.get_mut("data") else { continue };
                let name = format!("file/{slug}/{key}");
                pending.push(kept(secrets, project, &name, &format!("the file `{key}`"), data).await?);
            }
        }
        ResourceKind::BuildService
        | ResourceKind::DeploymentService
        | ResourceKind::CombinedService
        | ResourceKind::ManualJob
        | ResourceKind::CronJob => {}
    }
    Ok((spec, pending))
}

/// Has a value kept under a name, which takes its place.
async fn kept(
    secrets: &Secrets,
    project: ProjectId,
    name: &str,
    what: &str,
    value: &mut Value,
) -> Result<Pending, Error> {
    let planned = if secret::is_secret(value) {
        secrets.plan_made(project, name, made(what, value)?).await
    } else {
        let text = Zeroizing::new(plain_text(value).unwrap_or_default());
        secrets.plan(project, name, text).await
    };
    let planned = planned.map_err(secret_error)?;
    *value = secret::mark(&planned.secret);
    Ok(planned)
}

/// A value over `randomSecret`.
fn made(what: &str, value: &Value) -> Result<Zeroizing<String>, Error> {
    let wrong = |why: String| Error::bad_request(format!("{what}: {why}"));
    let value = secrets::make(value).map_err(|error| wrong(error.to_string()))?;
    plain_text(&value)
        .map(Zeroizing::new)
        .ok_or_else(|| wrong("what the expression makes is no text".to_owned()))
}
