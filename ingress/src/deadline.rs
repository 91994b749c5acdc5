//! How long a call may wait for its outcome.

use std::time::Duration;

use tonic::metadata::MetadataMap;

/// Taken off a client's time-out, so that the answer is there before the client gives up: a tenth of it, but no more than this.
const MARGIN_MAX: Duration = Duration::from_millis(100);

/// What the client's `grpc-timeout` leaves, at most `longest`. An absent or unreadable header means `longest`.
pub fn wait(metadata: &MetadataMap, longest: Duration) -> Duration {
    let header = metadata.get("grpc-timeout").and_then(|value| value.to_str().ok());
    match header.and_then(parse) {
        Some(timeout) => (timeout - MARGIN_MAX.min(timeout / 10)).min(longest),
        None => longest,
    }
}

/// Up to eight digits and a unit, as the gRPC protocol has it.
fn parse(header: &str) -> Option<Duration> {
    let (digits, unit) = header.split_at_checked(header.len().checked_sub(1)?)?;
    if digits.len() > 8 {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3_600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_end_a_little_before_the_client_gives_up() {
        let longest = Duration::from_secs(10);
        let table = [
            ("5S", 4_900),
            ("200m", 180),
            ("1000000u", 900),
            ("1H", 10_000),
            ("99999999H", 10_000),
            ("0m", 0),
            ("", 10_000),
            ("5", 10_000),
            ("5x", 10_000),
            ("-5S", 10_000),
            ("123456789S", 10_000),
        ];
        for (header, wait_ms) in table {
            let mut metadata = MetadataMap::new();
            metadata.insert("grpc-timeout", header.parse().expect("an ASCII header"));
            assert_eq!(wait(&metadata, longest), Duration::from_millis(wait_ms), "{header:?}");
        }
        assert_eq!(wait(&MetadataMap::new(), longest), longest);
    }
}
