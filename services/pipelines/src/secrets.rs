//! The secrets' home: the only place where values are, encrypted.
//!
//! Each project has a data key, wrapped by the key-encryption key of this installation; each value is sealed
//! with its project's key, and its row's identity is authenticated with it.

mod cipher;
mod kek;
mod rows;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, path::Path};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use rand::Rng;
use shipway_documents::secret::{Encoding, FinishError, RandomShape, finish, randoms_in};
use shipway_eventing::durable::{Durable, DurableError};
use shipway_events::{ProjectId, SecretRef};
use sqlx::AnyConnection;
use uuid::Uuid;
use zeroize::Zeroizing;

use cipher::{Identity, Key};
use kek::Kek;
pub use kek::KekError;
pub use rows::SCHEMA as TABLES;

/// A secret's value. Wiped when it goes; never printed.
pub(crate) type Value = Zeroizing<String>;

/// Why a secret could not be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The database did not answer.
    #[error("the secrets' table did not answer while {attempting}")]
    Database {
        /// What was being attempted.
        attempting: &'static str,
        /// Why it failed.
        #[source]
        source: sqlx::Error,
    },
    /// There is no such secret, or no such version of it.
    #[error("there is no secret `{name}`")]
    Missing {
        /// The name, with the version if one was asked for.
        name: String,
    },
    /// The row was changed, moved or encrypted with another key.
    #[error(
        "the stored secret `{name}` is not authentic: its row was changed, or keys/kek is not the key it was \
         encrypted with; restore the log's database and keys/kek from the same backup"
    )]
    NotAuthentic {
        /// The name with its version, or the data key.
        name: String,
    },
    /// The project's data key was wrapped by another key-encryption key.
    #[error(
        "the project's key was wrapped by the key {wanted}, but keys/kek is the key {found}; restore the right one"
    )]
    OtherKek {
        /// The key that is needed.
        wanted: String,
        /// The key that there is.
        found: String,
    },
    /// A transaction could not be begun.
    #[error("keeping a secret")]
    Durable(#[from] DurableError),
    /// Somebody else kept a version of the same secret at the same moment.
    #[error("the secret `{name}` was set by somebody else at the same time; try again")]
    Conflict {
        /// The name.
        name: String,
    },
}

/// Why the secrets' home could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The key-encryption key cannot be used.
    #[error("opening the key-encryption key")]
    Kek(#[from] KekError),
    /// The tables could not be made.
    #[error("making the secrets' tables")]
    Tables(#[from] DurableError),
    /// The tables could not be read.
    #[error("reading the secrets' tables")]
    Read(#[from] sqlx::Error),
}

/// The secrets' home.
pub(crate) struct Secrets {
    db: Durable,
    kek: Kek,
}

/// Secrets of a project as they are kept; each is opened when it is asked for.
pub(crate) struct Kept<'a> {
    home: &'a Secrets,
    project: ProjectId,
    keys: Vec<rows::KeyRow>,
    rows: BTreeMap<(String, u32), rows::ValueRow>,
}

impl Kept<'_> {
    /// The value of one version.
    pub(crate) fn get(&self, secret: &SecretRef) -> Result<Value, SecretError> {
        let row = self.rows.get(&(secret.name.clone(), secret.version));
        let row = row.ok_or_else(|| SecretError::Missing { name: secret.to_string() })?;
        let key = self.keys.iter().find(|key| key.key_id == row.key_id);
        self.home.opened(self.project, secret, row, key)
    }

    /// The newest version; none if there is none.
    pub(crate) fn newest(&self, name: &str) -> Result<Option<Value>, SecretError> {
        let mut versions = self.rows.range((name.to_owned(), 0)..=(name.to_owned(), u32::MAX));
        let Some(((_, version), _)) = versions.next_back() else { return Ok(None) };
        self.get(&SecretRef { name: name.to_owned(), version: *version }).map(Some)
    }
}

/// A value that is to be kept as this version.
pub(crate) struct Pending {
    /// The name and the version that it will have.
    pub(crate) secret: SecretRef,
    /// The value; none if this version is kept already.
    value: Option<Value>,
}

impl Secrets {
    /// Opens the home in the log's own database; makes tables and key at the first start.
    pub(crate) async fn open(db: Durable, keys: &Path) -> Result<Self, OpenError> {
        db.create(rows::SCHEMA).await?;
        let mut connection = db.pool().acquire().await?;
        let exist = rows::any_kek_id(&mut connection).await?.is_some();
        drop(connection);
        Ok(Self { kek: kek::load_or_make(keys, exist)?, db })
    }

    /// The newest version of a secret; none if there is none.
    pub(crate) async fn newest(
        &self,
        project: ProjectId,
        name: &str,
    ) -> Result<Option<(SecretRef, Value)>, SecretError> {
        let mut db = self.connection("looking for a secret").await?;
        let row = rows::newest(&mut db, project, name).await.map_err(failed("looking for a secret"))?;
        let Some(row) = row else { return Ok(None) };
        let secret = SecretRef { name: name.to_owned(), version: row.version };
        let value = self.open_row(&mut db, project, &secret, &row).await?;
        Ok(Some((secret, value)))
    }

    /// The value of one version.
    pub(crate) async fn get(&self, project: ProjectId, secret: &SecretRef) -> Result<Value, SecretError> {
        let mut db = self.connection("reading a secret").await?;
        let row = rows::one(&mut db, project, &secret.name, secret.version)
            .await
            .map_err(failed("reading a secret"))?
            .ok_or_else(|| SecretError::Missing { name: secret.to_string() })?;
        self.open_row(&mut db, project, secret, &row).await
    }

    /// All of a project's secrets whose names begin so, in one question.
    pub(crate) async fn all_of(&self, project: ProjectId, prefix: &str) -> Result<Kept<'_>, SecretError> {
        let mut db = self.connection("reading secrets").await?;
        let keys = rows::keys(&mut db, project).await.map_err(failed("reading a project's keys"))?;
        let rows = rows::all_of(&mut db, project, prefix).await.map_err(failed("reading secrets"))?;
        Ok(Kept { home: self, project, keys, rows: rows.into_iter().collect() })
    }

    /// What keeping this value comes to: the newest version if it has the same value, else the next one. Nothing
    /// is kept yet: see [`Secrets::keep`].
    pub(crate) async fn plan(
        &self,
        project: ProjectId,
        name: &str,
        value: Value,
    ) -> Result<Pending, SecretError> {
        let next = match self.newest(project, name).await? {
            Some((secret, known)) if *known == *value => return Ok(Pending { secret, value: None }),
            Some((secret, _)) => secret.version + 1,
            None => 1,
        };
        Ok(Pending { secret: SecretRef { name: name.to_owned(), version: next }, value: Some(value) })
    }

    /// The newest version, or a first one with a value made here: 256 random bits.
    pub(crate) async fn plan_random(&self, project: ProjectId, name: &str) -> Result<Pending, SecretError> {
        self.plan_made(project, name, random()).await
    }

    /// The newest version, or this value as the first one: what was made once stays as it is.
    pub(crate) async fn plan_made(
        &self,
        project: ProjectId,
        name: &str,
        value: Value,
    ) -> Result<Pending, SecretError> {
        match self.newest(project, name).await? {
            Some((secret, _)) => Ok(Pending { secret, value: None }),
            None => {
                let secret = SecretRef { name: name.to_owned(), version: 1 };
                Ok(Pending { secret, value: Some(value) })
            }
        }
    }

    /// The value of a secret that is made when it is first asked for. Two that ask at once get the same.
    pub(crate) async fn get_or_make(
        &self,
        project: ProjectId,
        secret: &SecretRef,
        shape: RandomShape,
    ) -> Result<Value, SecretError> {
        match self.get(project, secret).await {
            Err(SecretError::Missing { .. }) => {}
            known => return known,
        }
        let pending = Pending { secret: secret.clone(), value: Some(made(shape)) };
        match self.keep(project, &[pending]).await {
            Ok(()) | Err(SecretError::Conflict { .. }) => self.get(project, secret).await,
            Err(error) => Err(error),
        }
    }

    /// Keeps planned values. What is kept and never named by an event is harmless: it is found again or left.
    pub(crate) async fn keep(&self, project: ProjectId, pending: &[Pending]) -> Result<(), SecretError> {
        if pending.iter().all(|pending| pending.value.is_none()) {
            return Ok(());
        }
        let mut db = self.db.begin().await?;
        let (key_id, key) = self.data_key(&mut db, project).await?;
        let of = project.to_string();
        for Pending { secret, value } in pending {
            let Some(value) = value else { continue };
            let sealed = cipher::seal(&key, &of_value(&of, secret, &key_id), value.as_bytes());
            let new = rows::put(&mut db, project, &secret.name, secret.version, &key_id, &sealed)
                .await
                .map_err(failed("keeping a secret"))?;
            if !new {
                return Err(SecretError::Conflict { name: secret.name.clone() });
            }
        }
        db.commit().await.map_err(failed("keeping a secret"))
    }

    async fn open_row(
        &self,
        db: &mut AnyConnection,
        project: ProjectId,
        secret: &SecretRef,
        row: &rows::ValueRow,
    ) -> Result<Value, SecretError> {
        let key = rows::key(db, project, &row.key_id).await.map_err(failed("reading a project's key"))?;
        self.opened(project, secret, row, key.as_ref())
    }

    fn opened(
        &self,
        project: ProjectId,
        secret: &SecretRef,
        row: &rows::ValueRow,
        key: Option<&rows::KeyRow>,
    ) -> Result<Value, SecretError> {
        let not_authentic = || SecretError::NotAuthentic { name: secret.to_string() };
        let key = self.unwrap(project, key.ok_or_else(not_authentic)?)?;
        let sealed = row.sealed.as_ref().ok_or_else(not_authentic)?;
        let of = project.to_string();
        let bytes =
            cipher::open(&key, &of_value(&of, secret, &row.key_id), sealed).map_err(|_| not_authentic())?;
        let text = std::str::from_utf8(&bytes).map_err(|_| not_authentic())?;
        Ok(Zeroizing::new(text.to_owned()))
    }

    /// The project's newest data key; made if there is none.
    async fn data_key(
        &self,
        db: &mut AnyConnection,
        project: ProjectId,
    ) -> Result<(String, Key), SecretError> {
        if let Some(row) = rows::newest_key(db, project).await.map_err(failed("reading a project's key"))? {
            let key = self.unwrap(project, &row)?;
            return Ok((row.key_id, key));
        }
        let (of, key_id, key) = (project.to_string(), Uuid::now_v7().to_string(), Key::random());
        let wrapped = cipher::seal(&self.kek.key, &of_key(&of, &key_id), key.bytes());
        rows::put_key(db, project, &key_id, &self.kek.id, &wrapped)
            .await
            .map_err(failed("keeping a project's key"))?;
        Ok((key_id, key))
    }

    fn unwrap(&self, project: ProjectId, row: &rows::KeyRow) -> Result<Key, SecretError> {
        if row.kek_id != self.kek.id {
            return Err(SecretError::OtherKek { wanted: row.kek_id.clone(), found: self.kek.id.clone() });
        }
        let not_authentic = || SecretError::NotAuthentic { name: format!("key of project {project}") };
        let wrapped = row.wrapped.as_ref().ok_or_else(not_authentic)?;
        let of = project.to_string();
        let bytes =
            cipher::open(&self.kek.key, &of_key(&of, &row.key_id), wrapped).map_err(|_| not_authentic())?;
        Key::from_slice(&bytes).ok_or_else(not_authentic)
    }

    async fn connection(
        &self,
        attempting: &'static str,
    ) -> Result<sqlx::pool::PoolConnection<sqlx::Any>, SecretError> {
        self.db.pool().acquire().await.map_err(failed(attempting))
    }
}

fn of_value<'a>(project: &'a str, secret: &'a SecretRef, key_id: &'a str) -> Identity<'a> {
    Identity { purpose: "value", project, name: &secret.name, version: secret.version, key_id }
}

fn of_key<'a>(project: &'a str, key_id: &'a str) -> Identity<'a> {
    Identity { purpose: "key", project, name: "", version: 0, key_id }
}

fn failed(attempting: &'static str) -> impl Fn(sqlx::Error) -> SecretError {
    move |source| SecretError::Database { attempting, source }
}

/// What is left of an expression over `randomSecret`, its secrets made.
pub(crate) fn make(left: &serde_json::Value) -> Result<serde_json::Value, FinishError> {
    let values: BTreeMap<SecretRef, Value> =
        randoms_in(left).into_iter().map(|(name, shape)| (name, made(shape))).collect();
    finish(left, &|name| values.get(name).map(|value| value.to_string()))
}

/// So many random characters.
fn made(shape: RandomShape) -> Value {
    let length = usize::try_from(shape.length).unwrap_or(usize::MAX);
    // A character holds half a byte or more.
    let mut bytes = Zeroizing::new(vec![0; length]);
    rand::rng().fill_bytes(&mut bytes);
    let mut text = Zeroizing::new(match shape.encoding {
        Encoding::Base64 => STANDARD.encode(&*bytes),
        Encoding::Hex => hex::encode(&*bytes),
    });
    text.truncate(length);
    text
}

/// Where secrets are that belong to no project but to the whole installation: credentials of linked accounts.
pub(crate) const fn installation() -> ProjectId {
    ProjectId::new(Uuid::nil())
}

/// 256 random bits as text that needs no escaping in an address.
pub(crate) fn random() -> Value {
    let mut bytes = Zeroizing::new([0; 32]);
    rand::rng().fill_bytes(&mut *bytes);
    Zeroizing::new(URL_SAFE_NO_PAD.encode(*bytes))
}

/// 256 random bits in the form that every sender takes: GitLab and Standard Webhooks know it as a signing token, to
/// the others it is a text.
pub(crate) fn signing() -> Value {
    let mut bytes = Zeroizing::new([0; 32]);
    rand::rng().fill_bytes(&mut *bytes);
    Zeroizing::new(format!("whsec_{}", STANDARD.encode(*bytes)))
}
