//! Values that hold secrets are finished here, last thing before they are used.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use shipway_documents::{json_text, plain_text, secret};
use shipway_events::{Fence, ProjectId, SecretRef};
use zeroize::Zeroizing;

use super::{Attempt, Failure, error, transient};
use crate::assignment::{Secrets, SecretsError};

/// An environment, its secret part kept apart.
#[derive(Debug, Default)]
pub(crate) struct Environment {
    /// Variables without secrets.
    pub(crate) plain: BTreeMap<String, String>,
    /// Variables with secrets in them.
    pub(crate) secrets: BTreeMap<String, String>,
    /// What the latter are made of, by name and version.
    pub(crate) names: BTreeMap<String, Value>,
    /// Every secret's own value, to be masked wherever it shows.
    pub(crate) mask: Vec<String>,
}

impl Attempt<'_> {
    /// Finishes a map of variables.
    pub(crate) async fn environment(
        &self,
        project: ProjectId,
        values: &Map<String, Value>,
    ) -> Result<Environment, Failure> {
        resolve_environment(self.host.secrets.as_ref(), project, self.given.fence, values).await
    }

    /// Takes the secret files out of a map of variables: what is in them, by the variable that holds their path.
    pub(crate) async fn files(
        &self,
        project: ProjectId,
        values: &mut Map<String, Value>,
    ) -> Result<BTreeMap<String, Vec<u8>>, Failure> {
        let data: Map<String, Value> = values
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), secret::file_data(value)?.clone())))
            .collect();
        values.retain(|name, _| !data.contains_key(name));
        let fetched = fetch(self.host.secrets.as_ref(), project, self.given.fence, data.values()).await?;
        let mut files = BTreeMap::new();
        for (name, data) in data {
            let wrong =
                |why: String| error("secrets", format!("the file of the variable `{name}`: its data {why}"));
            let contents = secret::file_contents(&text(&finish(&data, &fetched)?)).map_err(wrong)?;
            files.insert(name, contents);
        }
        Ok(files)
    }

    /// Finishes one value; gives the values to mask with it.
    pub(crate) async fn finish(
        &self,
        project: ProjectId,
        value: &Value,
    ) -> Result<(Value, Vec<String>), Failure> {
        let fetched =
            fetch(self.host.secrets.as_ref(), project, self.given.fence, [value].into_iter()).await?;
        let finished = finish(value, &fetched)?;
        Ok((finished, fetched.values().map(|value| value.to_string()).collect()))
    }
}

/// Finishes a map of variables with the right of `fence`.
pub(crate) async fn resolve_environment(
    from: &dyn Secrets,
    project: ProjectId,
    fence: Fence,
    values: &Map<String, Value>,
) -> Result<Environment, Failure> {
    let fetched = fetch(from, project, fence, values.values()).await?;
    let mut all = Environment::default();
    for (name, value) in values {
        if secret::is_secret(value) {
            all.secrets.insert(name.clone(), text(&finish(value, &fetched)?));
            all.names.insert(name.clone(), value.clone());
        } else {
            all.plain.insert(name.clone(), text(value));
        }
    }
    all.mask = fetched.values().map(|value| value.to_string()).collect();
    Ok(all)
}

async fn fetch<'a>(
    from: &dyn Secrets,
    project: ProjectId,
    fence: Fence,
    values: impl Iterator<Item = &'a Value>,
) -> Result<BTreeMap<SecretRef, Zeroizing<String>>, Failure> {
    let names: BTreeSet<SecretRef> = values.flat_map(secret::secrets_in).collect();
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    from.fetch(project, fence, &names).await.map_err(|failure| match failure {
        SecretsError::Unavailable(_) => transient("secrets", failure.to_string()),
        SecretsError::Refused(_) => error("secrets", failure.to_string()),
    })
}

fn finish(value: &Value, fetched: &BTreeMap<SecretRef, Zeroizing<String>>) -> Result<Value, Failure> {
    let get = |name: &SecretRef| fetched.get(name).map(|value| value.to_string());
    secret::finish(value, &get).map_err(|failure| error("secrets", failure.to_string()))
}

/// A value as the text of a variable: what is no text, number or truth value as JSON.
pub(crate) fn text(value: &Value) -> String {
    plain_text(value).unwrap_or_else(|| json_text(value))
}
