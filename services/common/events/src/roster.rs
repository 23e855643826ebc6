//! Who people are: the tokens that were made and not revoked. A fold of the stream `org`, and the one function that says
//! who is asking, for every service and every way in.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::{Actor, Recorded, Timestamp, TokenId, org};

/// The role whose holders make and revoke tokens.
pub const ADMIN: &str = "admin";

/// A token that was not revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its id.
    pub id: TokenId,
    /// Whose it is.
    pub name: String,
    /// What its holder is, sorted.
    pub roles: Vec<String>,
    /// `sha256:…` of the token.
    pub hash: String,
    /// When it was made.
    pub made_at: Timestamp,
    /// Who made it.
    pub made_by: String,
}

impl Token {
    /// Whether its holder is meant by a name or a role.
    #[must_use]
    pub fn is(&self, name_or_role: &str) -> bool {
        self.name == name_or_role || self.roles.iter().any(|role| role == name_or_role)
    }

    /// Whether its holder may make and revoke tokens.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.roles.iter().any(|role| role == ADMIN)
    }
}

/// Who is asking, and what is known of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asker {
    /// Who.
    pub actor: Actor,
    /// What their token says that they are.
    pub roles: Vec<String>,
    /// Whether their name counts where people have to be told apart: a token proves it, or there is no token at all, and
    /// names are what people say.
    pub counts: bool,
}

impl Asker {
    /// Whether they are meant by a name or a role.
    #[must_use]
    pub fn is(&self, name_or_role: &str) -> bool {
        matches!(&self.actor, Actor::Person(name) if name == name_or_role)
            || self.roles.iter().any(|role| role == name_or_role)
    }
}

/// A token that proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this token proves nothing: it was revoked, or it is another Shipway's; without one (`SHIPWAY_TOKEN` unset) you are \
     nobody in particular"
)]
pub struct UnknownToken;

/// All tokens that were not revoked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roster {
    tokens: BTreeMap<TokenId, Token>,
}

impl Roster {
    /// Adds an event; those that are not about tokens change nothing.
    pub fn evolve(&mut self, recorded: &Recorded<org::Event>) {
        match &recorded.event {
            org::Event::TokenCreated(e) => {
                let token = Token {
                    id: e.token,
                    name: e.name.clone(),
                    roles: e.roles.clone(),
                    hash: e.hash.clone(),
                    made_at: recorded.at,
                    made_by: recorded.meta.actor.name().to_owned(),
                };
                self.tokens.insert(e.token, token);
            }
            org::Event::TokenRevoked(e) => drop(self.tokens.remove(&e.token)),
            org::Event::ProjectCreated(_)
            | org::Event::AccountLinked(_)
            | org::Event::AccountCredentialReplaced(_)
            | org::Event::AccountRenamed(_)
            | org::Event::AccountRemoved(_) => {}
        }
    }

    /// The tokens, the oldest first.
    pub fn tokens(&self) -> impl Iterator<Item = &Token> {
        self.tokens.values()
    }

    /// Whether nobody has a token.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Whether anybody may make and revoke tokens: no token is an administrator's yet.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.tokens().any(|token| token.is_admin())
    }

    /// Who is asking with this token, and by the name that they say. A name that nothing proves is taken while there is
    /// no token; once there is one, whoever brings none is nobody in particular.
    ///
    /// # Errors
    /// If there is no such token: a mistake is not taken for nobody.
    pub fn asker(&self, token: Option<&str>, says: Option<&str>) -> Result<Asker, UnknownToken> {
        if let Some(token) = token {
            let hash = hash(token);
            let known = self.tokens().find(|known| known.hash == hash).ok_or(UnknownToken)?;
            let actor = Actor::Person(known.name.clone());
            return Ok(Asker { actor, roles: known.roles.clone(), counts: true });
        }
        let counts = self.is_empty();
        let name = says.filter(|_| counts).unwrap_or(Actor::NOBODY);
        Ok(Asker { actor: Actor::Person(name.to_owned()), roles: Vec::new(), counts })
    }
}

/// What is kept of a token. Tokens are 256 bits by chance, so nobody finds one from this, and no salt is needed.
#[must_use]
pub fn hash(token: &str) -> String {
    let hex: String = Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{Cause, CommandId, Meta};

    fn id(n: u128) -> TokenId {
        TokenId::new(Uuid::from_u128(n))
    }

    fn recorded(event: impl Into<org::Event>) -> Recorded<org::Event> {
        Recorded {
            position: 1,
            version: 1,
            at: Timestamp::from_micros(7),
            meta: Meta { actor: Actor::Person("ana".to_owned()), cause: Cause::Request, trace: None },
            command: CommandId::new(Uuid::nil()),
            event: event.into(),
        }
    }

    fn created(n: u128, name: &str, roles: &[&str]) -> Recorded<org::Event> {
        recorded(org::TokenCreated {
            token: id(n),
            name: name.to_owned(),
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            hash: hash(&format!("token of {name}")),
        })
    }

    #[test]
    fn a_token_proves_a_name_until_it_is_revoked() {
        let mut roster = Roster::default();
        roster.evolve(&created(1, "bo", &["approver"]));
        let bo = roster.asker(Some("token of bo"), Some("ana")).unwrap();
        assert_eq!((bo.actor.name(), bo.counts), ("bo", true), "what is said beside a token is not heard");
        assert!(bo.is("bo") && bo.is("approver") && !bo.is("admin"));
        assert_eq!(roster.asker(Some("token of cy"), None), Err(UnknownToken));
        let token = roster.tokens().next().unwrap();
        assert_eq!((token.made_by.as_str(), token.made_at.micros()), ("ana", 7));
        roster.evolve(&recorded(org::TokenRevoked { token: id(1), name: "bo".to_owned() }));
        assert_eq!(roster.asker(Some("token of bo"), None), Err(UnknownToken), "it is revoked");
        assert!(roster.is_empty());
    }

    #[test]
    fn names_that_nothing_proves_count_only_while_there_is_no_token() {
        let mut roster = Roster::default();
        let cy = roster.asker(None, Some("cy")).unwrap();
        assert_eq!((cy.actor.name(), cy.counts), ("cy", true));
        let nobody = roster.asker(None, None).unwrap();
        assert!(nobody.actor.is_nobody() && nobody.counts);
        roster.evolve(&created(1, "bo", &[]));
        let cy = roster.asker(None, Some("cy")).unwrap();
        assert!(cy.actor.is_nobody() && !cy.counts, "{cy:?}");
        let bo = roster.asker(None, Some("bo")).unwrap();
        assert!(bo.actor.is_nobody(), "nobody takes the name of somebody who has a token");
    }

    #[test]
    fn anybody_makes_tokens_until_there_is_an_administrator() {
        let mut roster = Roster::default();
        roster.evolve(&created(1, "bo", &["approver"]));
        assert!(roster.is_open());
        roster.evolve(&created(2, "ana", &["admin"]));
        assert!(!roster.is_open());
    }

    #[test]
    fn the_hash_is_that_of_others() {
        assert_eq!(hash("test"), "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08");
    }

    #[test]
    fn people_are_told_apart_by_their_names() {
        let person = |name: &str| Actor::Person(name.to_owned());
        assert!(
            person("Bo").is_same_person(&Actor::Hook("bo".to_owned())),
            "who pushed it is who approves it"
        );
        assert!(!person("bo").is_same_person(&person("cy")));
        assert!(!person("schedule").is_same_person(&Actor::System("schedule".to_owned())));
    }
}
