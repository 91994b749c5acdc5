//! Names of streams and subjects on NATS. Listed in docs/DATA.md.

/// The stream of all events for downstream consumers.
pub const EVENT_STREAM: &str = "EMSHOP_EVENTS";
/// What that stream captures.
pub const EVENT_SUBJECTS: &str = "emshop.event.>";

/// The stream that is log `log`.
pub fn log_stream(log: u32) -> String {
    format!("EMSHOP_LOG_{log}")
}

/// The one subject of log `log`.
pub fn log_subject(log: u32) -> String {
    format!("emshop.log.{log}")
}

/// Subject of the events of one type, such as `order.submitted`.
pub fn event(event_type: &str) -> String {
    format!("emshop.event.{event_type}")
}

/// Where the writer of a command hears of its outcome.
pub fn outcome(writer: u64) -> String {
    format!("emshop.outcome.{writer:016x}")
}

/// Where the engine of log `log` answers queries.
pub fn query(log: u32) -> String {
    format!("emshop.query.{log}")
}
