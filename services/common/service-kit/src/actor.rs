//! What a call brings to say who is asking. What of it is true, the tokens in
//! the log tell: whoever handles the call looks there.

use std::fmt;

use tonic::metadata::MetadataMap;

/// The header of a token: `Bearer <token>`.
const TOKEN: &str = "authorization";
/// The header in which a front says who the person is. It is heard only while nobody has a token.
const SAYS: &str = "shipway-actor";

/// What a call brings to say who is asking.
#[derive(Clone, Default)]
pub struct Credentials {
    token: Option<String>,
    says: Option<String>,
}

impl Credentials {
    /// Out of a call's headers.
    #[must_use]
    pub fn of(metadata: &MetadataMap) -> Self {
        let text = |name| metadata.get(name).and_then(|value| value.to_str().ok());
        // A header that is no token is a mistake, and not nobody: it is looked up as it is, and proves nothing.
        let token = metadata.get(TOKEN).map(|_| text(TOKEN).unwrap_or_default());
        let token = token.map(|token| token.strip_prefix("Bearer ").unwrap_or(token).trim().to_owned());
        Self { token, says: text(SAYS).filter(|name| fits(name)).map(str::to_owned) }
    }

    /// The token, if there is one.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// The name that somebody says, with nothing to prove it.
    #[must_use]
    pub fn says(&self) -> Option<&str> {
        self.says.as_deref()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("token", &self.token.as_ref().map(|_| "…"))
            .field("says", &self.says)
            .finish()
    }
}

fn fits(name: &str) -> bool {
    !name.is_empty() && name.len() <= 100 && !name.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &'static str, value: &str) -> Credentials {
        let mut metadata = MetadataMap::new();
        metadata.insert(name, value.parse().unwrap());
        Credentials::of(&metadata)
    }

    #[test]
    fn a_call_brings_a_token_a_name_or_nothing() {
        let nothing = Credentials::of(&MetadataMap::new());
        assert_eq!((nothing.token(), nothing.says()), (None, None));
        assert_eq!(with(TOKEN, "Bearer abc").token(), Some("abc"));
        assert_eq!(with(TOKEN, "Basic abc").token(), Some("Basic abc"), "a mistake is not nobody");
        assert_eq!(with(SAYS, "ana").says(), Some("ana"));
        assert_eq!(with(SAYS, "").says(), None);
    }

    #[test]
    fn a_token_is_in_no_output() {
        assert!(!format!("{:?}", with(TOKEN, "Bearer abc")).contains("abc"));
    }
}
