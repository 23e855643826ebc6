//! The world that effects change, which counts them.

use shipway_events::{EffectClass, Fence};

/// What nodes do to the world, by node. What is `keyed` it does once; what is `fenced` goes to a resource
/// that refuses fences below the highest that it has seen; all else happens as often as it is done.
#[derive(Default)]
pub(crate) struct Target {
    done: Vec<u32>,
    highest: Vec<Fence>,
}

impl Target {
    pub(crate) fn new(nodes: usize) -> Self {
        Self { done: vec![0; nodes], highest: vec![Fence::default(); nodes] }
    }

    /// There are so many nodes now.
    pub(crate) fn grow(&mut self, nodes: usize) {
        self.done.resize(nodes, 0);
        self.highest.resize(nodes, Fence::default());
    }

    /// Does it; false if the resource refused the fence.
    pub(crate) fn apply(&mut self, class: EffectClass, node: u32, fence: Fence) -> bool {
        let done = &mut self.done[node as usize];
        match class {
            EffectClass::Keyed => *done = 1,
            EffectClass::Fenced => {
                let highest = &mut self.highest[node as usize];
                if fence < *highest {
                    return false;
                }
                *highest = fence;
                *done = 1;
            }
            EffectClass::Checked | EffectClass::Once => *done += 1,
        }
        true
    }

    /// How often the node's effect has happened.
    pub(crate) fn times(&self, node: u32) -> u32 {
        self.done[node as usize]
    }
}
