//! From where events are printed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prost_types::Timestamp;

/// A position in a stream of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// The oldest message that is there.
    Start,
    /// Behind the last one.
    End,
    /// This one.
    Sequence(u64),
    /// Events of this log time, and later ones.
    Time(SystemTime),
}

impl Begin {
    /// # Errors
    /// What it could have been.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const NONE: &str = "it is `start`, `end`, a sequence from 1 on, or a time since 1970 such as 2026-11-27T08:00:00Z";
        match text {
            "start" => Ok(Self::Start),
            "end" => Ok(Self::End),
            digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => match digits.parse() {
                Ok(0) | Err(_) => Err(NONE),
                Ok(sequence) => Ok(Self::Sequence(sequence)),
            },
            time => {
                let Timestamp { seconds, nanos } = time.parse().map_err(|_| NONE)?;
                let (Ok(seconds), Ok(nanos)) = (seconds.try_into(), nanos.try_into()) else { return Err(NONE) };
                Ok(Self::Time(UNIX_EPOCH + Duration::new(seconds, nanos)))
            }
        }
    }
}

/// The earliest log time that is asked for, in Unix milliseconds.
///
/// Streams go by when they took a message, which of a restored shop is when it was restored.
pub fn at_ms(begin: Begin) -> i64 {
    match begin {
        Begin::Time(time) => time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos().div_ceil(1_000_000) as i64),
        Begin::Start | Begin::End | Begin::Sequence(_) => i64::MIN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_what_they_look_like() {
        for (text, begin) in [
            ("start", Begin::Start),
            ("end", Begin::End),
            ("17", Begin::Sequence(17)),
            ("1970-01-01T00:00:01.5Z", Begin::Time(UNIX_EPOCH + Duration::from_millis(1_500))),
            ("1970-01-01T08:00:00+08:00", Begin::Time(UNIX_EPOCH)),
        ] {
            assert_eq!(Begin::parse(text), Ok(begin), "{text}");
        }
        for text in ["", "0", "-1", "beginning", "99999999999999999999", "1969-12-31T23:59:59Z", "27.11.2026"] {
            assert!(Begin::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_takes_in_what_happened_then() {
        for (begin, expected) in [("start", i64::MIN), ("1970-01-01T00:00:01Z", 1_000), ("1970-01-01T00:00:01.0000001Z", 1_001)] {
            assert_eq!(at_ms(Begin::parse(begin).expect("a position")), expected, "{begin}");
        }
    }
}
