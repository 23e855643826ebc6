//! The log, its feed, checkpoints, projections and blobs.
