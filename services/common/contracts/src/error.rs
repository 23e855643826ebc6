//! The closed list of error codes, mapped once to gRPC and HTTP.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// What kind of refusal or failure it is. New ones are introduced with thought: every client tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The request itself is wrong; the message says where and what was expected.
    BadRequest,
    /// No such thing, or not for you.
    NotFound,
    /// Something of that name or id exists already.
    AlreadyExists,
    /// The state of things does not allow it; the message says what to do first.
    FailedPrecondition,
    /// Somebody else changed it meanwhile; look again.
    Conflict,
    /// Who you are is not known.
    Unauthenticated,
    /// You are known and may not.
    PermissionDenied,
    /// Too much at once; later is fine.
    ResourceExhausted,
    /// A part is away; a retry may well succeed.
    Unavailable,
    /// A defect of Shipway.
    Internal,
}

/// A refusal or failure with its code, as every API answers it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What kind.
    pub code: Code,
    /// Where, what was expected and what to do.
    pub message: String,
    /// When it may go well, where that is known.
    pub retry_after: Option<Duration>,
}

/// Where a gRPC answer says when to try again, in milliseconds, as clients that repeat calls by themselves know it.
pub const RETRY_AFTER: &str = "grpc-retry-pushback-ms";

impl Error {
    /// An error of this kind.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry_after: None }
    }

    /// The request itself is wrong.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(Code::BadRequest, message)
    }

    /// No such thing.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Code::NotFound, message)
    }

    /// A part is away.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Code::Unavailable, message)
    }

    /// Says when it may go well, if that is known.
    #[must_use]
    pub const fn retry_after(mut self, after: Option<Duration>) -> Self {
        self.retry_after = after;
        self
    }

    /// A defect: the chain of causes as one line, for the one place where it is answered.
    pub fn internal(error: &dyn std::error::Error) -> Self {
        Self::new(Code::Internal, chain(error))
    }
}

impl Code {
    /// The HTTP status.
    #[must_use]
    pub const fn http(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthenticated => 401,
            Self::PermissionDenied => 403,
            Self::NotFound => 404,
            Self::AlreadyExists | Self::Conflict => 409,
            Self::FailedPrecondition => 412,
            Self::ResourceExhausted => 429,
            Self::Internal => 500,
            Self::Unavailable => 503,
        }
    }

    /// The gRPC code.
    #[must_use]
    pub const fn grpc(self) -> tonic::Code {
        match self {
            Self::BadRequest => tonic::Code::InvalidArgument,
            Self::Unauthenticated => tonic::Code::Unauthenticated,
            Self::PermissionDenied => tonic::Code::PermissionDenied,
            Self::NotFound => tonic::Code::NotFound,
            Self::AlreadyExists => tonic::Code::AlreadyExists,
            Self::Conflict => tonic::Code::Aborted,
            Self::FailedPrecondition => tonic::Code::FailedPrecondition,
            Self::ResourceExhausted => tonic::Code::ResourceExhausted,
            Self::Unavailable => tonic::Code::Unavailable,
            Self::Internal => tonic::Code::Internal,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl From<Error> for tonic::Status {
    fn from(error: Error) -> Self {
        let mut status = Self::new(error.code.grpc(), error.message);
        if let Some(after) = error.retry_after {
            let milliseconds = i32::try_from(after.as_millis()).unwrap_or(i32::MAX);
            status.metadata_mut().insert(RETRY_AFTER, milliseconds.into());
        }
        status
    }
}

/// When to try again, if an answer says it.
#[must_use]
pub fn retry_after(status: &tonic::Status) -> Option<Duration> {
    let milliseconds = status.metadata().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_millis(milliseconds))
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_when_to_try_again_where_that_is_known() {
        let later = Error::unavailable("x").retry_after(Some(Duration::from_secs(7)));
        assert_eq!(retry_after(&later.into()), Some(Duration::from_secs(7)));
        let ages = Error::unavailable("x").retry_after(Some(Duration::MAX));
        assert_eq!(retry_after(&ages.into()), Some(Duration::from_millis(i32::MAX as u64)));
        assert_eq!(retry_after(&Error::unavailable("x").into()), None);
    }
}
