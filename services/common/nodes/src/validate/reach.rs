//! What the steps of a graph wait for, directly and not, and whether they wait for each other in a circle.

use super::index::Index;

/// Graphs of more steps are not looked through: their runs are refused anyway.
const MOST: usize = super::MAX_NODES;

/// For every step of a graph the steps before it, one bit each: as long as the graph is no larger than a run may
/// be, this takes a few megabytes and one pass over the edges.
pub(super) struct Ancestors {
    /// Words of 64 bits for each step.
    width: usize,
    bits: Vec<u64>,
}

impl Ancestors {
    pub(super) fn of(index: &Index<'_>, graph: u32) -> Self {
        let steps = &index.get(graph).children;
        let count = if steps.len() > MOST { 0 } else { steps.len() };
        let width = count.div_ceil(64);
        let mut all = Self { width, bits: vec![0; width * count] };
        let order = order(index, graph);
        for place in order.sorted {
            if (place as usize) < count {
                for before in &order.before[place as usize] {
                    all.add(place as usize, *before as usize);
                }
            }
        }
        all
    }

    /// A step waits for another one, and for all that this one waits for.
    fn add(&mut self, step: usize, before: usize) {
        for word in 0..self.width {
            self.bits[step * self.width + word] |= self.bits[before * self.width + word];
        }
        self.bits[step * self.width + before / 64] |= 1 << (before % 64);
    }

    pub(super) fn contains(&self, step: u32, before: u32) -> bool {
        let (step, before) = (step as usize, before as usize);
        let word = self.bits.get(step * self.width + before / 64).filter(|_| before / 64 < self.width);
        word.is_some_and(|word| word & (1 << (before % 64)) != 0)
    }
}

/// The steps of a graph in an order in which they can run.
pub(super) struct Order {
    /// Those that can ever start, each after those that it waits for.
    pub(super) sorted: Vec<u32>,
    /// What each waits for directly.
    pub(super) before: Vec<Vec<u32>>,
}

pub(super) fn order(index: &Index<'_>, graph: u32) -> Order {
    let steps = &index.get(graph).children;
    let before: Vec<Vec<u32>> = steps.iter().map(|step| index.direct(graph, *step)).collect();
    let mut after: Vec<Vec<u32>> = vec![Vec::new(); steps.len()];
    let mut open: Vec<usize> = before.iter().map(Vec::len).collect();
    for (step, before) in (0..).zip(&before) {
        before.iter().for_each(|earlier| after[*earlier as usize].push(step));
    }
    let mut sorted: Vec<u32> = (0..).zip(&open).filter(|(_, open)| **open == 0).map(|(at, _)| at).collect();
    let mut next = 0;
    while let Some(step) = sorted.get(next).copied() {
        next += 1;
        for later in &after[step as usize] {
            open[*later as usize] -= 1;
            if open[*later as usize] == 0 {
                sorted.push(*later);
            }
        }
    }
    Order { sorted, before }
}

/// The circles of a graph: steps that wait for each other, each for the next one. Steps that only wait for a
/// circle are in none.
pub(super) fn circles(order: &Order) -> Vec<Vec<u32>> {
    let mut starts = vec![false; order.before.len()];
    order.sorted.iter().for_each(|step| starts[*step as usize] = true);
    // By which walk, and as which of its steps, each was seen.
    let mut seen: Vec<Option<(usize, usize)>> = vec![None; order.before.len()];
    let mut circles = Vec::new();
    for first in 0..order.before.len() {
        // A step that never starts waits for one that never starts: the way back ends in a circle.
        let (mut way, mut at) = (Vec::new(), first);
        while !starts[at] && seen[at].is_none() {
            seen[at] = Some((first, way.len()));
            way.push(u32::try_from(at).unwrap_or(u32::MAX));
            let Some(next) = order.before[at].iter().find(|next| !starts[**next as usize]) else { break };
            at = *next as usize;
        }
        if let Some((_, from)) = seen[at].filter(|(walk, _)| *walk == first && !way.is_empty()) {
            circles.push(way.split_off(from));
        }
    }
    circles
}
