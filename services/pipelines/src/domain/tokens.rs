//! People's tokens: who may make and revoke them. Pure.

use std::collections::BTreeSet;

use shipway_events::{
    Actor, Asker, Roster, TokenId, org,
    roster::{ADMIN, Token},
};

/// The longest name of a person or a role.
const LONGEST: usize = 63;

/// The most roles of one token.
const ROLES: usize = 50;

/// What somebody wants of the tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TokenCommand {
    /// Makes one.
    Create {
        /// Its id.
        id: TokenId,
        /// Whose it is.
        name: String,
        /// What they are.
        roles: Vec<String>,
        /// `sha256:…` of it.
        hash: String,
    },
    /// Revokes one.
    Revoke {
        /// Its name or id.
        token: String,
    },
}

/// Why the tokens are not changed so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenRefusal {
    #[error(
        "`{0}` cannot be a name of a person or a role; use letters, digits, `-`, `_`, `.` and `@`, at most 63"
    )]
    Name(String),
    #[error("`{0}` is whoever has no token; choose another name")]
    Nobody(String),
    #[error("a token has at most 50 roles")]
    Roles,
    #[error(
        "`{0}` has a token already; revoke it first (`shipway token revoke {0}`), or choose another name"
    )]
    Taken(String),
    #[error("`{0}` would be both a person and a role, and approvals could mean either; choose another name")]
    Both(String),
    #[error("there is no token `{name}`.{suggestion}")]
    Missing { name: String, suggestion: String },
    #[error("{who} may not {what} tokens: whoever has the role `admin` may")]
    NotAdmin { who: String, what: &'static str },
    #[error(
        "`{0}` is the last administrator, and without one anybody could make tokens; make another administrator first, or \
         revoke all other tokens before"
    )]
    LastAdmin(String),
}

/// The token that a name or an id means.
pub(crate) fn named<'a>(roster: &'a Roster, name: &str) -> Result<&'a Token, TokenRefusal> {
    let id: Option<TokenId> = name.parse().ok();
    let found = roster.tokens().find(|token| token.name == name || Some(token.id) == id);
    found.ok_or_else(|| {
        let names = roster.tokens().map(|token| token.name.as_str());
        TokenRefusal::Missing { name: name.to_owned(), suggestion: super::did_you_mean(name, names) }
    })
}

/// The event that carries a command out.
pub(crate) fn decide_token(
    roster: &Roster,
    asker: &Asker,
    command: &TokenCommand,
) -> Result<org::Event, TokenRefusal> {
    let is_admin = roster.is_open() || asker.roles.iter().any(|role| role == ADMIN);
    let not_admin = |what| {
        let who = if asker.actor.is_nobody() { "nobody in particular" } else { asker.actor.name() };
        TokenRefusal::NotAdmin { who: who.to_owned(), what }
    };
    match command {
        TokenCommand::Create { id, name, roles, hash } => {
            if !is_admin {
                return Err(not_admin("make"));
            }
            let roles = check(roster, name, roles)?;
            Ok(org::TokenCreated { token: *id, name: name.clone(), roles, hash: hash.clone() }.into())
        }
        TokenCommand::Revoke { token } => {
            // Who may not see the others' tokens go learns nothing of which there are.
            let own = matches!(&asker.actor, Actor::Person(name) if asker.counts && name == token);
            if !is_admin && !own {
                return Err(not_admin("revoke"));
            }
            let known = named(roster, token)?;
            let others = || roster.tokens().filter(|other| other.id != known.id);
            if known.is_admin() && others().next().is_some() && !others().any(Token::is_admin) {
                return Err(TokenRefusal::LastAdmin(known.name.clone()));
            }
            Ok(org::TokenRevoked { token: known.id, name: known.name.clone() }.into())
        }
    }
}

/// The roles as they are kept, if a token of this name may have them.
fn check(roster: &Roster, name: &str, roles: &[String]) -> Result<Vec<String>, TokenRefusal> {
    for word in std::iter::once(name).chain(roles.iter().map(String::as_str)) {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
        let begins = word.starts_with(|c: char| c.is_ascii_alphanumeric());
        if !begins || word.len() > LONGEST || !word.chars().all(plain) {
            return Err(TokenRefusal::Name(word.chars().take(80).collect()));
        }
    }
    if roles.len() > ROLES {
        return Err(TokenRefusal::Roles);
    }
    if name.eq_ignore_ascii_case(Actor::NOBODY) {
        return Err(TokenRefusal::Nobody(name.to_owned()));
    }
    if let Some(known) = roster.tokens().find(|token| token.name.eq_ignore_ascii_case(name)) {
        return Err(TokenRefusal::Taken(known.name.clone()));
    }
    // Approvals name people and roles in one list.
    let known_roles = roster.tokens().flat_map(|token| &token.roles).chain(roles);
    let is_role = known_roles.map(String::as_str).chain([ADMIN]).any(|role| role.eq_ignore_ascii_case(name));
    let is_name = |role: &&String| roster.tokens().any(|token| token.name.eq_ignore_ascii_case(role));
    if let Some(both) = is_role.then_some(name).or(roles.iter().find(is_name).map(String::as_str)) {
        return Err(TokenRefusal::Both(both.to_owned()));
    }
    let sorted: BTreeSet<&String> = roles.iter().collect();
    Ok(sorted.into_iter().cloned().collect())
}

#[cfg(test)]
mod tests {
    use shipway_events::{Cause, CommandId, Meta, Recorded, Timestamp};
    use uuid::Uuid;

    use super::*;

    fn roster(tokens: &[(&str, &[&str])]) -> Roster {
        let mut roster = Roster::default();
        for (n, (name, roles)) in (1..).zip(tokens) {
            let created = org::TokenCreated {
                token: TokenId::new(Uuid::from_u128(n)),
                name: (*name).to_owned(),
                roles: roles.iter().map(|role| (*role).to_owned()).collect(),
                hash: String::new(),
            };
            roster.evolve(&Recorded {
                position: 1,
                version: 1,
                at: Timestamp::from_micros(0),
                meta: Meta { actor: Actor::nobody(), cause: Cause::Request, trace: None },
                command: CommandId::new(Uuid::nil()),
                event: created.into(),
            });
        }
        roster
    }

    fn asker(name: &str, roles: &[&str]) -> Asker {
        let roles = roles.iter().map(|role| (*role).to_owned()).collect();
        Asker { actor: Actor::Person(name.to_owned()), roles, counts: name != Actor::NOBODY }
    }

    fn create(name: &str, roles: &[&str]) -> TokenCommand {
        TokenCommand::Create {
            id: TokenId::new(Uuid::from_u128(9)),
            name: name.to_owned(),
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            hash: "sha256:0".to_owned(),
        }
    }

    fn revoke(token: &str) -> TokenCommand {
        TokenCommand::Revoke { token: token.to_owned() }
    }

    fn refused(roster: &Roster, who: &Asker, command: &TokenCommand) -> String {
        decide_token(roster, who, command).unwrap_err().to_string()
    }

    #[test]
    fn anybody_makes_tokens_until_one_is_an_administrators() {
        let nobody = asker(Actor::NOBODY, &[]);
        for open in [roster(&[]), roster(&[("bo", &["approver"])])] {
            assert!(decide_token(&open, &nobody, &create("ana", &["admin"])).is_ok());
        }
        let closed = roster(&[("bo", &["approver"]), ("ana", &["admin"])]);
        let said = refused(&closed, &nobody, &create("cy", &[]));
        assert_eq!(said, "nobody in particular may not make tokens: whoever has the role `admin` may");
        let said = refused(&closed, &asker("bo", &["approver"]), &create("cy", &["admin"]));
        assert_eq!(said, "bo may not make tokens: whoever has the role `admin` may");
        let made = decide_token(&closed, &asker("ana", &["admin"]), &create("cy", &["x", "lead", "x"]));
        let Ok(org::Event::TokenCreated(made)) = made else { panic!("{made:?}") };
        assert_eq!(made.roles, ["lead", "x"]);
    }

    #[test]
    fn whoever_has_a_token_may_give_it_back_and_administrators_take_any() {
        let known = roster(&[("bo", &["approver"]), ("ana", &["admin"]), ("cy", &[])]);
        let bo = asker("bo", &["approver"]);
        assert!(decide_token(&known, &bo, &revoke("bo")).is_ok());
        for token in ["cy", "dan"] {
            let said = refused(&known, &bo, &revoke(token));
            assert_eq!(said, "bo may not revoke tokens: whoever has the role `admin` may");
        }
        let ana = asker("ana", &["admin"]);
        assert!(decide_token(&known, &ana, &revoke("cy")).is_ok());
        assert_eq!(refused(&known, &ana, &revoke("by")), "there is no token `by`. Did you mean `bo`?");
        assert!(refused(&known, &ana, &revoke("ana")).starts_with("`ana` is the last administrator"));
        let two = roster(&[("ana", &["admin"]), ("bo", &["admin"]), ("cy", &[])]);
        assert!(decide_token(&two, &ana, &revoke("ana")).is_ok());
        assert!(
            decide_token(&roster(&[("ana", &["admin"])]), &ana, &revoke("ana")).is_ok(),
            "nobody is left"
        );
    }

    #[test]
    fn a_name_means_one_person_or_one_role() {
        let known = roster(&[("bo", &["lead"])]);
        let who = asker("bo", &[]);
        for (name, roles, expected) in [
            ("Bo", &[][..], "`bo` has a token already"),
            ("local", &[], "`local` is whoever has no token"),
            ("Lead", &[], "`Lead` would be both"),
            ("admin", &[], "`admin` would be both"),
            ("cy", &["bo"], "`bo` would be both"),
            ("cy", &["cy"], "`cy` would be both"),
            ("cy d", &[], "`cy d` cannot be a name"),
            ("-cy", &[], "`-cy` cannot be a name"),
            ("cy", &[""], "`` cannot be a name"),
        ] {
            let said = refused(&known, &who, &create(name, roles));
            assert!(said.starts_with(expected), "{name}: {said}");
        }
        assert!(decide_token(&known, &who, &create("cy@example.org", &["lead", "approver"])).is_ok());
    }
}
