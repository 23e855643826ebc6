//! What has happened: typed ids, the envelope and one event enum per stream. Pure.
