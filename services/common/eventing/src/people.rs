//! Who is asking: the tokens as the log has them at this moment.

use std::sync::{Arc, PoisonError, RwLock};

use shipway_events::{
    Actor, Asker, DecodeError, Roster, StreamEvent, StreamName, Version, org, roster::UnknownToken,
};

use crate::log::{Log, ReadError};

/// Events that are read at once.
const PAGE: usize = 500;

/// Why it is not known who is asking.
#[derive(Debug, thiserror::Error)]
pub enum PeopleError {
    /// The token proves nothing.
    #[error(transparent)]
    Unknown(#[from] UnknownToken),
    /// The log did not answer.
    #[error("reading the tokens out of the log")]
    Read(#[from] ReadError),
    /// The log holds what this Shipway does not know.
    #[error("reading the tokens out of the log")]
    Decode(#[from] DecodeError),
}

impl PeopleError {
    /// Whether the token is at fault.
    #[must_use]
    pub const fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown(_))
    }
}

/// The people, for one process.
///
/// Whoever asks is looked up in the log itself, of which only what is new is read: a token that was revoked proves
/// nothing from then on, in every process, and none of them needs another one for it.
pub struct People {
    log: Arc<dyn Log>,
    known: RwLock<(Version, Arc<Roster>)>,
}

impl People {
    /// The people that this log knows.
    #[must_use]
    pub fn new(log: Arc<dyn Log>) -> Self {
        Self { log, known: RwLock::default() }
    }

    /// All tokens, as of now.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub async fn roster(&self) -> Result<Arc<Roster>, PeopleError> {
        let (mut version, mut roster) = self.known.read().unwrap_or_else(PoisonError::into_inner).clone();
        let before = version;
        loop {
            let events = self.log.read_stream(&StreamName::org(), version, PAGE).await?;
            for raw in &events {
                if let Some(recorded) = org::Event::read(raw)? {
                    Arc::make_mut(&mut roster).evolve(&recorded);
                }
                version = raw.version;
            }
            if events.len() < PAGE {
                break;
            }
        }
        if version > before {
            let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
            if version > known.0 {
                *known = (version, roster.clone());
            }
        }
        Ok(roster)
    }

    /// Who is asking with this token, or by the name that they say: see [`Roster::asker`].
    ///
    /// # Errors
    /// If the token proves nothing, or the log cannot be read.
    pub async fn asker(&self, token: Option<&str>, says: Option<&str>) -> Result<Asker, PeopleError> {
        Ok(self.roster().await?.asker(token, says)?)
    }

    /// The name that stands in events for who is asking. Where neither token nor name is given, nothing is read for it.
    ///
    /// # Errors
    /// As [`People::asker`].
    pub async fn actor(&self, token: Option<&str>, says: Option<&str>) -> Result<Actor, PeopleError> {
        match (token, says) {
            (None, None) => Ok(Actor::nobody()),
            (token, says) => Ok(self.asker(token, says).await?.actor),
        }
    }
}
