//! Where in a trace something stands, by W3C's Trace Context (<https://www.w3.org/TR/trace-context/>). Only what is kept of traces goes into
//! logs and events, so whoever has a [`Trace`] makes spans.
//!
//! What an engine makes of a record is made again by a replay, the ids of its spans too: they follow from the span before them and from the
//! place in the log.

use std::fmt::Write;

use xxhash_rust::xxh3::xxh3_64_with_seed;

pub use crate::internal::Trace;

/// The name of the metadata and of the header, which is in small letters in both.
pub const TRACEPARENT: &str = "traceparent";
/// `00-<32 digits>-<16 digits>-<2 digits>`.
const TEXT_BYTES: usize = 55;
const SAMPLED: u8 = 1;

impl Trace {
    /// The span of this number under the trace of this number.
    pub fn new(trace_id: u128, span_id: u64) -> Self {
        Self { trace_id_high: (trace_id >> 64) as u64, trace_id_low: trace_id as u64, span_id }
    }

    /// Number of the trace.
    pub fn trace_id(&self) -> u128 {
        u128::from(self.trace_id_high) << 64 | u128::from(self.trace_id_low)
    }

    /// What a caller says: its span, and whether it keeps it. `None` when that is no trace context, which counts as none.
    pub fn parse(text: &str) -> Option<(Self, bool)> {
        let bytes = text.as_bytes();
        // A later version may say more, behind what this one does.
        let is_whole = bytes.len() == TEXT_BYTES || (bytes.get(TEXT_BYTES) == Some(&b'-') && !text.starts_with("00"));
        let dashes = [2, 35, 52].iter().all(|at| bytes.get(*at) == Some(&b'-'));
        if !is_whole || !dashes || text.starts_with("ff") {
            return None;
        }
        let digits = |from, to| text.get(from..to).filter(|text| text.bytes().all(is_digit));
        let number = |from, to| u64::from_str_radix(digits(from, to)?, 16).ok();
        digits(0, 2)?;
        let trace_id = u128::from_str_radix(digits(3, 35)?, 16).ok()?;
        let (span_id, flags) = (number(36, 52)?, number(53, TEXT_BYTES)? as u8);
        (trace_id != 0 && span_id != 0).then(|| (Self::new(trace_id, span_id), flags & SAMPLED != 0))
    }

    /// As it is told to whoever goes on with it.
    pub fn to_text(&self) -> String {
        let mut text = String::with_capacity(TEXT_BYTES);
        write!(text, "00-{:032x}-{:016x}-{SAMPLED:02x}", self.trace_id(), self.span_id).expect("a String grows as needed");
        text
    }

    /// A span below this one. Those of different places differ, and that of a place is always the same.
    pub fn child(&self, place: u64) -> Self {
        let hash = xxh3_64_with_seed(&[self.trace_id_low.to_le_bytes(), self.span_id.to_le_bytes()].concat(), place);
        Self { span_id: hash.max(1), ..*self }
    }
}

/// As the standard has it: a large letter is none.
fn is_digit(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// That of the standard's own example.
    const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_caller_says_where_it_is_and_whether_it_is_kept() {
        let trace = Trace::new(0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736, 0x00f0_67aa_0ba9_02b7);
        assert_eq!(Trace::parse(EXAMPLE), Some((trace, true)));
        assert_eq!(trace.to_text(), EXAMPLE);
        let with = |from: &str, to: &str| Trace::parse(&EXAMPLE.replace(from, to));
        assert_eq!(with("-01", "-00"), Some((trace, false)));
        assert_eq!(with("-01", "-fe"), Some((trace, false)));
        assert_eq!(with("00-", "01-").map(|(trace, _)| trace), Some(trace), "a later version");
        assert_eq!(Trace::parse(&format!("cc{}-what", &EXAMPLE[2..])), Some((trace, true)));
    }

    #[test]
    fn what_is_no_trace_context_counts_as_none() {
        let zero_trace = format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32));
        let zero_span = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{}-01", "0".repeat(16));
        let large = EXAMPLE.to_uppercase();
        let more = format!("{EXAMPLE}-what");
        let other = EXAMPLE.replacen("00-", "ff-", 1);
        let signed = EXAMPLE.replace("00f067aa0ba902b7", "+0f067aa0ba902b7");
        for text in ["", "00", &EXAMPLE[..54], &zero_trace, &zero_span, &large, &more, &other, &signed] {
            assert_eq!(Trace::parse(text), None, "{text}");
        }
    }

    #[test]
    fn children_differ_by_their_place_and_by_nothing_else() {
        let (trace, _) = Trace::parse(EXAMPLE).expect("an example");
        let children = [0, 1, u64::MAX].map(|place| trace.child(place));
        assert_eq!(children, [0, 1, u64::MAX].map(|place| trace.child(place)));
        assert!(children[0] != children[1] && children[1] != children[2] && children[0].span_id != trace.span_id);
        assert!(children.iter().all(|child| child.trace_id() == trace.trace_id()));
        assert_ne!(children[0].child(1), children[1].child(1));
    }

    proptest! {
        #[test]
        fn what_is_told_can_be_read(trace_id in 1_u128.., span_id in 1_u64..) {
            let trace = Trace::new(trace_id, span_id);
            prop_assert_eq!(Trace::parse(&trace.to_text()), Some((trace, true)));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,60}") {
            let _ = Trace::parse(&text);
        }
    }
}
