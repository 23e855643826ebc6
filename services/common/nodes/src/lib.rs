//! The node kinds: one file each with configuration, validation, outputs and what it asks for. Pure.
