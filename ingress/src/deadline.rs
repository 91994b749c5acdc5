//! How long a call may wait for its outcome.

use std::time::Duration;

use tonic::metadata::MetadataMap;

/// Taken off a client's time-out, so that the answer is there before the client gives up: a tenth of it, but no more than this.
const MARGIN_MAX: Duration = Duration::from_millis(100);

/// What the client's `grpc-timeout` leaves. `None` when it leaves `longest` or more, and when the header is absent or unreadable.
pub fn wait(metadata: &MetadataMap, longest: Duration) -> Option<Duration> {
    let header = metadata.get("grpc-timeout").and_then(|value| value.to_str().ok());
    let timeout = header.and_then(parse)?;
    Some(timeout - MARGIN_MAX.min(timeout / 10)).filter(|wait| *wait < longest)
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
            ("5S", Some(4_900)),
            ("200m", Some(180)),
            ("1000000u", Some(900)),
            ("1H", None),
            ("99999999H", None),
            ("0m", Some(0)),
            ("", None),
            ("5", None),
            ("5x", None),
            ("-5S", None),
            ("123456789S", None),
        ];
        for (header, wait_ms) in table {
            let mut metadata = MetadataMap::new();
            metadata.insert("grpc-timeout", header.parse().expect("an ASCII header"));
            assert_eq!(wait(&metadata, longest), wait_ms.map(Duration::from_millis), "{header:?}");
        }
        assert_eq!(wait(&MetadataMap::new(), longest), None);
    }
}
