//! Fences: of two attempts at the same effect, the one with the higher fence is the newer.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::Position;

/// The log's generation, then the position of the `AttemptRequested` event.
///
/// A restore from a backup raises the generation, so that a fence given after it is above every fence
/// given before it, although positions are used again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fence(u64);

const POSITION_BITS: u32 = 44;

impl Fence {
    /// The fence of the attempt requested at `position` in this `generation` of the log.
    #[must_use]
    pub const fn new(generation: u32, position: Position) -> Self {
        Self(((generation as u64) << POSITION_BITS) | position)
    }

    /// A fence from its number.
    #[must_use]
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// The fence as one number that grows.
    #[must_use]
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// The position of the event that gave it.
    #[must_use]
    pub const fn position(self) -> Position {
        self.0 & ((1 << POSITION_BITS) - 1)
    }

    /// The generation of the log that gave it.
    #[must_use]
    pub const fn generation(self) -> u32 {
        (self.0 >> POSITION_BITS) as u32
    }
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.generation(), self.position())
    }
}

impl FromStr for Fence {
    type Err = std::num::ParseIntError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (generation, position) = text.split_once('-').unwrap_or(("0", text));
        Ok(Self::new(generation.parse()?, position.parse()?))
    }
}
