//! Replies out of a stream of bytes, however it is cut.

/// The longest reply taken unless told otherwise, in bytes. The longest that clamd sends is that to STATS, which has a
/// path for each of its threads.
pub const MAX_REPLY: usize = 1 << 20;

/// How much is read at once.
const PIECE: usize = 16 << 10;

/// Cuts what clamd sends into replies. It does no I/O, and holds one reply and one piece at most.
///
/// ```
/// let mut decoder = clamd_proto::Decoder::default();
/// decoder.feed(b"1: fd[12]: OK\x002: fd[");
/// assert_eq!(decoder.next_reply()?, Some(&b"1: fd[12]: OK"[..]));
/// assert_eq!(decoder.next_reply()?, None);
/// decoder.feed(b"13]: OK\0");
/// assert_eq!(decoder.next_reply()?, Some(&b"2: fd[13]: OK"[..]));
/// # Ok::<(), clamd_proto::FrameError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// What lies before it has been handed out.
    start: usize,
    /// What lies between `start` and here has no end of a reply in it.
    looked: usize,
    /// What lies behind it is room.
    end: usize,
    longest: usize,
}

/// Why bytes are no replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A reply does not end.
    #[error("a reply is longer than {longest} bytes: is it clamd that answers there?")]
    TooLong {
        /// The most that is taken.
        longest: usize,
    },
    /// The connection ended in the middle of a reply.
    #[error("the connection ended after {length} bytes of a reply")]
    Truncated {
        /// How many bytes of it have come.
        length: usize,
    },
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new(MAX_REPLY)
    }
}

impl Decoder {
    /// A decoder that takes replies of up to `longest` bytes.
    pub const fn new(longest: usize) -> Self {
        Self {
            buffer: Vec::new(),
            start: 0,
            looked: 0,
            end: 0,
            longest,
        }
    }

    /// Room for bytes to be read into; [`filled`](Self::filled) says how many they became. It is never empty.
    pub fn room(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.looked, self.end) = (0, 0, 0);
        }
        if self.buffer.len() - self.end < PIECE / 2 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.looked, self.end) = (self.looked - self.start, self.end - self.start);
            self.start = 0;
            if self.buffer.len() - self.end < PIECE / 2 {
                self.buffer.resize(self.end + PIECE, 0);
            }
        }
        &mut self.buffer[self.end..]
    }

    /// Takes the first `count` bytes of [`room`](Self::room).
    pub fn filled(&mut self, count: usize) {
        self.end = (self.end + count).min(self.buffer.len());
    }

    /// Takes bytes.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = self.room();
            let count = room.len().min(bytes.len());
            room[..count].copy_from_slice(&bytes[..count]);
            self.filled(count);
            bytes = &bytes[count..];
        }
    }

    /// The next whole reply, without the zero byte at its end; `None` until more bytes have come.
    ///
    /// # Errors
    /// [`FrameError::TooLong`]; nothing after it makes sense.
    pub fn next_reply(&mut self) -> Result<Option<&[u8]>, FrameError> {
        let found = self.buffer[self.looked..self.end].iter().position(|byte| *byte == 0);
        let (start, end) = (self.start, found.map_or(self.end, |at| self.looked + at));
        if end - start > self.longest {
            return Err(FrameError::TooLong { longest: self.longest });
        }
        self.looked = end;
        if found.is_none() {
            return Ok(None);
        }
        self.start = end + 1;
        self.looked = self.start;
        Ok(Some(&self.buffer[start..end]))
    }

    /// What is left at the end of the connection. clamd ends its last words, before it closes, with a line break and no
    /// zero byte.
    ///
    /// # Errors
    /// When something is left that is no whole reply.
    pub fn finish(&mut self) -> Result<Option<&[u8]>, FrameError> {
        let rest = self.start..self.end;
        (self.start, self.looked) = (self.end, self.end);
        match &self.buffer[rest] {
            [] => Ok(None),
            [words @ .., b'\n'] => Ok(Some(words)),
            cut => Err(FrameError::Truncated { length: cut.len() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(decoder: &mut Decoder) -> Result<Vec<Vec<u8>>, FrameError> {
        let mut replies = Vec::new();
        while let Some(reply) = decoder.next_reply()? {
            replies.push(reply.to_vec());
        }
        Ok(replies)
    }

    #[test]
    fn a_reply_that_does_not_end_is_refused_and_its_memory_stays_bounded() {
        let mut decoder = Decoder::new(100_000);
        let mut fed = 0;
        let error = loop {
            decoder.feed(&[b'a'; 1000]);
            fed += 1000;
            if let Err(error) = decoder.next_reply() {
                break error;
            }
        };
        assert_eq!(error, FrameError::TooLong { longest: 100_000 });
        assert_eq!(fed, 101_000);
        assert!(decoder.buffer.len() <= 100_000 + 2 * PIECE, "{}", decoder.buffer.len());
    }

    #[test]
    fn a_million_replies_take_the_room_of_a_few() {
        let mut decoder = Decoder::default();
        for _ in 0..10_000 {
            decoder.feed(b"1: fd[12]: OK\x002: fd[13]: OK\x003: f");
            decoder.feed(b"d[14]: OK\0");
            assert_eq!(all(&mut decoder).unwrap().len(), 3);
        }
        assert!(decoder.buffer.len() <= 2 * PIECE, "{}", decoder.buffer.len());
    }

    #[test]
    fn the_last_words_of_a_connection_end_with_a_line_break() {
        let mut decoder = Decoder::default();
        decoder.feed(b"1: PONG\0COMMAND READ TIMED OUT\n");
        assert_eq!(all(&mut decoder).unwrap(), [b"1: PONG"]);
        assert_eq!(decoder.finish(), Ok(Some(&b"COMMAND READ TIMED OUT"[..])));
        assert_eq!(decoder.finish(), Ok(None));
        decoder.feed(b"1: stre");
        assert_eq!(decoder.finish(), Err(FrameError::Truncated { length: 7 }));
    }

    proptest! {
        #[test]
        fn cut_anywhere_the_same_replies_come(
            replies in prop::collection::vec(prop::collection::vec(1u8.., 0..40), 0..40),
            cuts in prop::collection::vec(1usize..60, 1..100),
        ) {
            let bytes: Vec<u8> = replies.iter().flat_map(|reply| [reply.as_slice(), b"\0"].concat()).collect();
            let (mut decoder, mut seen, mut rest) = (Decoder::default(), Vec::new(), bytes.as_slice());
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, more) = rest.split_at((*cut).min(rest.len()));
                decoder.feed(piece);
                seen.extend(all(&mut decoder).unwrap());
                rest = more;
            }
            prop_assert_eq!(seen, replies);
            prop_assert_eq!(decoder.finish(), Ok(None));
        }
    }
}
