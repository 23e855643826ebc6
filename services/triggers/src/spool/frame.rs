//! How records stand in a file of the spool, so that whatever is cut or damaged costs what it hit and no more. Pure.
//!
//! A record is a mark, its length, and its bytes. A record proves itself: it is sealed for its file and its place there,
//! so that the search for the next good one after damage cannot take a wrong one.

/// Where a record begins.
const MARK: [u8; 4] = [0xf5, b'S', b'P', 0x01];

/// Mark and length.
pub(super) const HEAD: usize = MARK.len() + 4;

/// Adds a record to what is to be written.
pub(super) fn put(into: &mut Vec<u8>, sealed: &[u8]) {
    let length = u32::try_from(sealed.len()).expect("a body is far below 4 GiB");
    into.extend_from_slice(&MARK);
    into.extend_from_slice(&length.to_le_bytes());
    into.extend_from_slice(sealed);
}

/// What stands at a place of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A record, opened.
    Record(Vec<u8>),
    /// So many bytes that cannot be opened, and may have been records: somebody may have been told that they are safe.
    Damaged(usize),
    /// So many bytes at the end that begin a record and do not end it: the process died while it wrote them, and nobody was
    /// told that they are safe.
    Torn(usize),
}

/// All that is in a file; `open` opens the record at a place, if it is one.
pub(super) fn read(file: &[u8], open: impl Fn(usize, &[u8]) -> Option<Vec<u8>>) -> Vec<Found> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < file.len() {
        let record = |at: usize| {
            let sealed = sealed_at(file, at)?;
            Some((open(at, sealed)?, at + HEAD + sealed.len()))
        };
        let next = marks(file, at).find_map(|mark| Some((mark, record(mark)?)));
        let Some((begin, (plain, end))) = next else {
            let end = torn_end(file, at);
            if end > at {
                found.push(Found::Damaged(end - at));
            }
            if file.len() > end {
                found.push(Found::Torn(file.len() - end));
            }
            break;
        };
        if begin > at {
            found.push(Found::Damaged(begin - at));
        }
        found.push(Found::Record(plain));
        at = end;
    }
    found
}

/// Where, behind records that are whole, one begins that was not written to its end; the file's end if none does.
fn torn_end(file: &[u8], from: usize) -> usize {
    let mut at = from;
    while file[at..].starts_with(&MARK)
        && let Some(sealed) = sealed_at(file, at)
    {
        at += HEAD + sealed.len();
    }
    let rest = &file[at..];
    let begun = rest.starts_with(&MARK[..MARK.len().min(rest.len())]);
    if begun { at } else { file.len() }
}

/// The places from there on where a record may begin.
fn marks(file: &[u8], from: usize) -> impl Iterator<Item = usize> {
    file[from..]
        .windows(MARK.len())
        .enumerate()
        .filter(|(_, four)| *four == MARK)
        .map(move |(at, _)| from + at)
}

fn sealed_at(file: &[u8], at: usize) -> Option<&[u8]> {
    let length = file.get(at + MARK.len()..at + HEAD)?;
    let length = u32::from_le_bytes(length.try_into().ok()?) as usize;
    file.get(at + HEAD..(at + HEAD).checked_add(length)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Stands for a seal: the place and a sum in front.
    fn seal(at: usize, plain: &[u8]) -> Vec<u8> {
        let sum = plain
            .iter()
            .fold(at as u64 * 31 + 7, |sum, byte| sum.wrapping_mul(1_099_511_628_211) ^ u64::from(*byte));
        [&sum.to_le_bytes(), plain].concat()
    }

    fn open(at: usize, sealed: &[u8]) -> Option<Vec<u8>> {
        let plain = sealed.get(8..)?;
        (seal(at, plain) == sealed).then(|| plain.to_vec())
    }

    fn file(records: &[Vec<u8>]) -> (Vec<u8>, Vec<usize>) {
        let (mut file, mut ends) = (Vec::new(), Vec::new());
        for record in records {
            let sealed = seal(file.len(), record);
            put(&mut file, &sealed);
            ends.push(file.len());
        }
        (file, ends)
    }

    fn records(found: &[Found]) -> Vec<Vec<u8>> {
        let record = |found: &Found| match found {
            Found::Record(plain) => Some(plain.clone()),
            Found::Damaged(_) | Found::Torn(_) => None,
        };
        found.iter().filter_map(record).collect()
    }

    proptest! {
        #[test]
        fn a_file_cut_anywhere_has_all_records_before_the_cut(
            all in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..6),
        ) {
            let (whole, ends) = file(&all);
            for cut in 0..=whole.len() {
                let complete = ends.iter().filter(|end| **end <= cut).count();
                let found = read(&whole[..cut], open);
                prop_assert_eq!(records(&found), &all[..complete]);
                prop_assert!(found.iter().all(|found| !matches!(found, Found::Damaged(_))));
            }
        }

        #[test]
        fn damage_costs_the_records_that_it_hits(
            all in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..6),
            at in any::<prop::sample::Index>(),
            bits in 1..=255_u8,
        ) {
            let (mut whole, ends) = file(&all);
            let at = at.index(whole.len());
            whole[at] ^= bits;
            let hit = ends.iter().position(|end| at < *end).unwrap();
            let mut left = all.clone();
            left.remove(hit);
            let found = read(&whole, open);
            prop_assert_eq!(records(&found), left);
            // A last record with another length may look as if the rest of it was not written.
            let begin = if hit == 0 { 0 } else { ends[hit - 1] };
            let is_last_length = hit + 1 == all.len() && (MARK.len()..HEAD).contains(&(at - begin));
            let damaged = found.iter().any(|found| matches!(found, Found::Damaged(_)));
            prop_assert!(damaged || is_last_length);
        }
    }

    #[test]
    fn a_record_in_another_place_is_none() {
        let (whole, _) = file(&[b"one".to_vec()]);
        let twice = [whole.clone(), whole.clone()].concat();
        assert_eq!(read(&twice, open), [Found::Record(b"one".to_vec()), Found::Damaged(whole.len())]);
    }

    #[test]
    fn what_is_whole_and_cannot_be_opened_is_damaged_and_only_a_begun_end_is_torn() {
        let (whole, ends) = file(&[b"one".to_vec(), b"two".to_vec()]);
        let closed = |_: usize, _: &[u8]| None;
        assert_eq!(read(&whole, closed), [Found::Damaged(whole.len())]);
        for cut in ends[0] + 1..whole.len() {
            let found = [Found::Damaged(ends[0]), Found::Torn(cut - ends[0])];
            assert_eq!(read(&whole[..cut], closed), found, "cut at {cut}");
        }
        assert_eq!(read(&[0; 10], closed), [Found::Damaged(10)], "no beginning of a record");
    }
}
