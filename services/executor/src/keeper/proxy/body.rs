//! Bodies, streamed: nothing is held but a buffer.

use std::io::{self, BufRead, Write};

use super::head::Framing;

/// What is written at once at most.
const BATCH: usize = 32 << 10;

/// Which side failed.
#[derive(Debug)]
pub(super) enum CopyError {
    /// The side that the body comes from.
    Read(io::Error),
    /// The side that it goes to.
    Write(io::Error),
}

/// Copies one body with its framing. What is there is passed on before more is waited for.
pub(super) fn copy(from: &mut impl BufRead, to: &mut impl Write, framing: Framing) -> Result<(), CopyError> {
    match framing {
        Framing::None => Ok(()),
        Framing::Length(length) => copy_exactly(from, to, length),
        Framing::UntilClose => loop {
            let bytes = fill(from)?;
            if bytes.is_empty() {
                return Ok(());
            }
            let count = bytes.len();
            to.write_all(bytes).map_err(CopyError::Write)?;
            from.consume(count);
        },
        Framing::Chunked => copy_chunks(from, to),
    }
}

fn fill(from: &mut impl BufRead) -> Result<&[u8], CopyError> {
    loop {
        match from.fill_buf() {
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(CopyError::Read(error)),
        }
    }
    from.fill_buf().map_err(CopyError::Read)
}

fn copy_exactly(from: &mut impl BufRead, to: &mut impl Write, mut left: u64) -> Result<(), CopyError> {
    while left > 0 {
        let bytes = fill(from)?;
        if bytes.is_empty() {
            return Err(CopyError::Read(io::ErrorKind::UnexpectedEof.into()));
        }
        let count = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        to.write_all(&bytes[..count]).map_err(CopyError::Write)?;
        from.consume(count);
        left -= count as u64;
    }
    Ok(())
}

/// Chunks are written as they are read, headers gathered with their data so that no packet holds a lone number.
fn copy_chunks(from: &mut impl BufRead, to: &mut impl Write) -> Result<(), CopyError> {
    let mut out = Vec::with_capacity(BATCH);
    loop {
        let line = line(from)?;
        let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let size = std::str::from_utf8(digits)
            .ok()
            .filter(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .and_then(|digits| u64::from_str_radix(digits, 16).ok())
            .ok_or_else(|| CopyError::Read(io::Error::new(io::ErrorKind::InvalidData, "bad chunk size")))?;
        out.extend_from_slice(format!("{size:x}\r\n").as_bytes());
        if size == 0 {
            break;
        }
        let mut left = size;
        while left > 0 {
            let bytes = fill(from)?;
            if bytes.is_empty() {
                return Err(CopyError::Read(io::ErrorKind::UnexpectedEof.into()));
            }
            let count = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let all = count == bytes.len();
            out.extend_from_slice(&bytes[..count]);
            from.consume(count);
            left -= count as u64;
            if left == 0 {
                out.extend_from_slice(b"\r\n");
            }
            if all || out.len() >= BATCH {
                to.write_all(&out).map_err(CopyError::Write)?;
                out.clear();
            }
        }
        if !self::line(from)?.is_empty() {
            return Err(CopyError::Read(io::Error::new(io::ErrorKind::InvalidData, "chunk without its end")));
        }
    }
    loop {
        let trailer = line(from)?;
        out.extend_from_slice(&trailer);
        out.extend_from_slice(b"\r\n");
        if trailer.is_empty() {
            return to.write_all(&out).map_err(CopyError::Write);
        }
    }
}

/// One line without its end.
fn line(from: &mut impl BufRead) -> Result<Vec<u8>, CopyError> {
    let mut line = Vec::new();
    loop {
        let bytes = fill(from)?;
        if bytes.is_empty() {
            return Err(CopyError::Read(io::ErrorKind::UnexpectedEof.into()));
        }
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let count = end.map_or(bytes.len(), |end| end + 1);
        line.extend_from_slice(&bytes[..count]);
        from.consume(count);
        if line.len() > 8 << 10 {
            return Err(CopyError::Read(io::Error::new(
                io::ErrorKind::InvalidData,
                "line over 8 KiB in chunks",
            )));
        }
        if end.is_some() {
            line.truncate(line.trim_ascii_end().len());
            return Ok(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn chunks_arrive_whole_and_nothing_after_them_is_taken(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..300), 0..8),
            buffer in 1_usize..64,
        ) {
            let mut wire = Vec::new();
            for piece in &pieces {
                wire.extend_from_slice(format!("{:X};ext=1\r\n", piece.len()).as_bytes());
                wire.extend_from_slice(piece);
                wire.extend_from_slice(b"\r\n");
            }
            wire.extend_from_slice(b"0\r\nTrailer: 1\r\n\r\nGET /next");
            let mut from = io::BufReader::with_capacity(buffer, wire.as_slice());
            let mut out = Vec::new();
            copy(&mut from, &mut out, Framing::Chunked).unwrap();
            let mut expected = Vec::new();
            for piece in &pieces {
                expected.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                expected.extend_from_slice(piece);
                expected.extend_from_slice(b"\r\n");
            }
            expected.extend_from_slice(b"0\r\nTrailer: 1\r\n\r\n");
            prop_assert_eq!(out, expected);
            let mut rest = Vec::new();
            io::Read::read_to_end(&mut from, &mut rest).unwrap();
            prop_assert_eq!(rest, b"GET /next");
        }
    }

    #[test]
    fn a_body_that_ends_early_is_an_error_of_the_reading_side() {
        let copied = copy(&mut b"abc".as_slice(), &mut Vec::new(), Framing::Length(4));
        assert!(matches!(copied, Err(CopyError::Read(_))));
        for bad in [&b"zz\r\n"[..], b"3\r\nabcd\r\n", b"-1\r\n", b"+3\r\nabc\r\n"] {
            assert!(matches!(copy(&mut &*bad, &mut Vec::new(), Framing::Chunked), Err(CopyError::Read(_))));
        }
    }
}
