//! What was recorded and is not in a queue yet. Bounded: where nobody takes it out, what comes is dropped and counted.
use opentelemetry_proto::tonic::{logs::v1::LogRecord, trace::v1::Span};
use prost::Message as _;

/// How many bytes may be held. A few seconds' worth of a busy log.
pub(crate) const MAX_BYTES: usize = 4 << 20;

#[derive(Debug, Default)]
pub(crate) struct Buffer {
    pub(crate) logs: Vec<LogRecord>,
    pub(crate) spans: Vec<Span>,
    bytes: usize,
    dropped: u64,
}

impl Buffer {
    /// Whether it should be emptied soon.
    pub(crate) fn log(&mut self, record: LogRecord) -> bool {
        if self.takes(record.encoded_len()) {
            self.logs.push(record);
        }
        self.is_pressed()
    }

    /// Whether it should be emptied soon.
    pub(crate) fn span(&mut self, span: Span) -> bool {
        if self.takes(span.encoded_len()) {
            self.spans.push(span);
        }
        self.is_pressed()
    }

    fn takes(&mut self, bytes: usize) -> bool {
        let fits = self.bytes + bytes <= MAX_BYTES;
        if fits {
            self.bytes += bytes;
        } else {
            self.dropped += 1;
        }
        fits
    }

    fn is_pressed(&self) -> bool {
        self.bytes > MAX_BYTES / 4
    }

    /// Takes everything out; what was dropped stays counted.
    pub(crate) fn take(&mut self) -> (Vec<LogRecord>, Vec<Span>) {
        self.bytes = 0;
        (std::mem::take(&mut self.logs), std::mem::take(&mut self.spans))
    }

    pub(crate) fn len(&self) -> u64 {
        (self.logs.len() + self.spans.len()) as u64
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_when_it_fills_and_drops_what_does_not_fit() {
        let mut buffer = Buffer::default();
        let line = || LogRecord {
            severity_text: "x".repeat(MAX_BYTES / 8),
            ..LogRecord::default()
        };
        let pressed: Vec<bool> = (0..8).map(|_| buffer.log(line())).collect();
        assert_eq!(pressed, [false, true, true, true, true, true, true, true]);
        assert_eq!((buffer.len(), buffer.dropped()), (7, 1));
        assert_eq!(buffer.take().0.len(), 7);
        assert!(!buffer.log(line()), "there is room again");
        assert_eq!((buffer.len(), buffer.dropped()), (1, 1));
    }
}
