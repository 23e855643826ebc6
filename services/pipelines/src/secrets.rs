//! The secrets' home: the only place where values are, encrypted.
//!
//! Each project has a data key, wrapped by the key-encryption key of this installation; each value is sealed
//! with its project's key, and its row's identity is authenticated with it.

mod cipher;
mod kek;
