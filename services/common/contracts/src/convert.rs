//! Conversions that every service needs.

use std::str::FromStr;

use crate::Error;

/// Reads an id out of a request's field.
///
/// # Errors
/// [`crate::Code::BadRequest`] that names the field.
pub fn id<T: FromStr>(field: &str, text: &str) -> Result<T, Error> {
    text.parse().map_err(|_| Error::bad_request(format!("field `{field}`: `{text}` is not a UUID")))
}

/// Reads an id that may be left out.
///
/// # Errors
/// As [`id`].
pub fn optional_id<T: FromStr>(field: &str, text: &str) -> Result<Option<T>, Error> {
    if text.is_empty() { Ok(None) } else { id(field, text).map(Some) }
}
