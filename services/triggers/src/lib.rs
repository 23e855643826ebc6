//! Webhook ingress, delivery inbox, rule matching and repository polling.
//!
//! A delivery's way: `http` (size, signature, rate) → `domain` (what it says, what each trigger makes of it; pure)
//! → `inbox` (known or new; one commit for many; then 202) → `matcher` (one `Matched` event, which starts the runs).
//! While the database is away it waits in the `spool`, and goes the same way later.
//! `waiting` asks the repositories of deliveries that only they can tell about, `reconcile` finds the pushes that nobody
//! told of, `schedules` says when a time has come, `hooks` keeps hooks and triggers at hand.

mod api;
mod changes;
pub mod domain;
mod git;
mod hooks;
mod http;
mod inbox;
mod judging;
mod limits;
mod matcher;
mod parcel;
mod reconcile;
mod replay;
mod schedules;
mod sealer;
mod service;
mod settings;
pub mod signature;
mod spool;
mod waiting;
mod why;

pub use api::Api;
pub use inbox::TABLES;
pub use limits::Rate;
pub use sealer::{KeyError, OpenError, Sealer};
pub use service::{Config, Deps, Service, StartError, start};
pub use settings::{Hooks, Reconcile, Settings};
