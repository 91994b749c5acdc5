//! Commands of traced calls on their way into their logs: each has a span of its append, under which the engine goes on.

use std::time::SystemTime;

use emshop_proto::subjects;
use emshop_proto::trace::Trace;
use emshop_telemetry::traces::{Begun, KeyValue, Role, Span, Traces, names};
use prost::encoding::message;

/// Field number of `internal::Record`.
const TRACE_FIELD: u32 = 11;

/// The append of one traced command.
pub struct Traced(Begun);

impl Traced {
    /// Below what was begun, if something was; its record says so from here on.
    pub fn of(begun: Option<&Begun>, record: &mut Vec<u8>) -> Option<Box<Self>> {
        let Begun { trace, .. } = begun?;
        let (trace, parent_id) = (trace.child(rand::random()), trace.span_id);
        Some(Self::new(Begun { trace, parent_id, at: SystemTime::now() }, record))
    }

    /// As [`Traced::of`], of what was begun for this command alone.
    pub fn new(begun: Begun, record: &mut Vec<u8>) -> Box<Self> {
        message::encode::<Trace>(TRACE_FIELD, &begun.trace, record);
        Box::new(Self(begun))
    }

    /// It is in the log at this sequence, or it is not, for this reason.
    pub fn end(&self, traces: &Traces, log: u32, records: usize, result: Result<u64, &'static str>) {
        let Begun { trace, parent_id, at } = self.0;
        let stream = subjects::log_stream(log);
        let name = format!("append {stream}").into();
        let mut attributes = vec![
            KeyValue::new(names::MESSAGING_SYSTEM, "nats"),
            KeyValue::new(names::MESSAGING_DESTINATION_NAME, stream),
            KeyValue::new(names::MESSAGING_OPERATION_TYPE, "send"),
            KeyValue::new(names::MESSAGING_OPERATION_NAME, "append"),
            KeyValue::new("emshop.envelope.records", records as i64),
            KeyValue::new("emshop.log", i64::from(log)),
        ];
        attributes.extend(result.ok().map(|sequence| KeyValue::new("emshop.sequence", sequence as i64)));
        let (role, end, error) = (Role::Producer, SystemTime::now(), result.err().map(Into::into));
        traces.end(Span { trace, parent_id, name, role, begin: at, end, attributes, error });
    }
}
