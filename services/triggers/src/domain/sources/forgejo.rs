//! Forgejo: what Gitea sends, under headers of its own.

use super::{Place, Source, gitea};
use crate::signature::Scheme;

pub(super) const SOURCE: Source = Source {
    name: "forgejo",
    title: "Forgejo",
    scheme: Scheme::Hex("x-forgejo-signature"),
    event: Place::Header("x-forgejo-event"),
    keys: &[Place::Header("x-forgejo-delivery")],
    read: gitea::read,
};
