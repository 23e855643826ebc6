//! A question to a host and its answer, as values.

use reqwest::{Method, Url};
use serde_json::Value;

use crate::ForgeError;

/// What a host is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// What is attempted, in words that complete "… failed": `setting the commit status`.
    pub attempting: &'static str,
    /// GET, POST, PUT or PATCH.
    pub method: Method,
    /// The steps of the path below the API's address.
    pub path: Vec<String>,
    /// The query.
    pub query: Vec<(&'static str, String)>,
    /// The body.
    pub body: Option<Value>,
}

impl Request {
    /// A question without query and body.
    #[must_use]
    pub fn new(attempting: &'static str, method: Method, path: &[&str]) -> Self {
        let path = path.iter().map(|step| (*step).to_owned()).collect();
        Self { attempting, method, path, query: Vec::new(), body: None }
    }

    /// With more of the query.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.query.push((name, value.to_string()));
        self
    }

    /// With this body.
    #[must_use]
    pub fn saying(self, body: Value) -> Self {
        Self { body: Some(body), ..self }
    }

    /// Where it is sent: every step of the path is one step of the address, whatever is in it.
    pub(crate) fn url(&self, api: &Url) -> Result<Url, ForgeError> {
        let mut url = api.clone();
        // Steps of only dots would be taken away without a word.
        let bad = self.path.iter().any(|step| matches!(step.as_str(), "" | "." | ".."));
        match url.path_segments_mut() {
            Ok(mut steps) if !bad => drop(steps.pop_if_empty().extend(&self.path)),
            _ => return Err(ForgeError::refused(format!("{} has no address", self.attempting))),
        }
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        Ok(url)
    }
}

/// What a host answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers, their names in small letters.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// A header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// Whether it was done.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        self.status >= 200 && self.status < 300
    }

    /// The body as JSON; null where it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_a_step_stays_in_it() {
        let api: Url = "https://git.acme.org/api/v4".parse().unwrap();
        let request =
            Request::new("asking", Method::GET, &["projects", "acme/sub/api", "x?y#z"]).with("q", "a&b");
        let url = request.url(&api).unwrap();
        assert_eq!(url.as_str(), "https://git.acme.org/api/v4/projects/acme%2Fsub%2Fapi/x%3Fy%23z?q=a%26b");
        let plain: Url = "https://api.github.com/".parse().unwrap();
        let url = Request::new("asking", Method::GET, &["repos"]).url(&plain).unwrap();
        assert_eq!(url.as_str(), "https://api.github.com/repos");
        for bad in ["..", ".", ""] {
            assert!(Request::new("asking", Method::GET, &["repos", bad, "x"]).url(&plain).is_err());
        }
    }
}
