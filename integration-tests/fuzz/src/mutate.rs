//! Inputs that are nearly right: pieces of examples taken out, doubled, moved and mixed.

use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::{SEPARATOR, Target};

/// The longest input that is made, in bytes.
const LONGEST: usize = 4 << 10;

/// Makes inputs for a target; the same ones for the same seed.
#[derive(Debug)]
pub struct Mutator {
    examples: Vec<Vec<u8>>,
    words: &'static [&'static str],
    chance: StdRng,
}

impl Mutator {
    /// From the examples of a target.
    #[must_use]
    pub fn new(target: &Target, seed: u64) -> Self {
        let line = format!("{SEPARATOR}\n");
        let examples = target.examples.iter().flat_map(|file| file.split(line.as_str()));
        Self {
            examples: examples
                .map(|text| text.strip_suffix('\n').unwrap_or(text).as_bytes().to_vec())
                .collect(),
            words: target.words,
            chance: StdRng::seed_from_u64(seed),
        }
    }

    /// The examples themselves.
    #[must_use]
    pub fn examples(&self) -> &[Vec<u8>] {
        &self.examples
    }

    /// The next input.
    pub fn input(&mut self) -> Vec<u8> {
        let mut input = self.example();
        for _ in 0..self.chance.random_range(1..8) {
            self.change(&mut input);
        }
        input.truncate(LONGEST);
        input
    }

    fn example(&mut self) -> Vec<u8> {
        let n = self.chance.random_range(0..self.examples.len());
        self.examples[n].clone()
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let piece = self.piece(input);
        match self.chance.random_range(0..9) {
            // A piece is gone.
            0 => drop(input.drain(piece)),
            // A piece stands twice, or many times.
            1 => {
                let times = if self.chance.random_range(0..8) == 0 { 200 } else { 1 };
                let copy = input[piece.clone()].repeat(times);
                input.splice(piece.end..piece.end, copy.into_iter().take(LONGEST));
            }
            // A piece of another example, or of this one, stands here.
            2 | 3 => {
                let other = self.example();
                let from = self.piece(&other);
                input.splice(piece, other[from].iter().copied());
            }
            // A word that means something stands here.
            4..=6 => {
                let word = self.words[self.chance.random_range(0..self.words.len())];
                let at = if self.chance.random_range(0..2) == 0 { piece.start..piece.start } else { piece };
                input.splice(at, word.bytes());
            }
            // A byte is another.
            7 => {
                if let Some(byte) = input.get_mut(piece.start) {
                    *byte = self.chance.random_range(0..=255);
                }
            }
            // It ends early.
            _ => input.truncate(piece.end),
        }
    }

    /// A piece of a text: whole words and signs most of the time.
    fn piece(&mut self, text: &[u8]) -> std::ops::Range<usize> {
        let (a, b) = (self.chance.random_range(0..=text.len()), self.chance.random_range(0..24));
        let (start, end) = (a, (a + b).min(text.len()));
        if self.chance.random_range(0..4) == 0 {
            return start..end;
        }
        let is_edge = |at: usize| {
            let word = |byte: u8| byte.is_ascii_alphanumeric() || byte >= 0x80;
            at == 0 || at >= text.len() || word(text[at - 1]) != word(text[at]) || !word(text[at])
        };
        let start = (0..=start).rev().find(|at| is_edge(*at)).unwrap_or(start);
        let end = (end..=text.len()).find(|at| is_edge(*at)).unwrap_or(end);
        start..end
    }
}
