//! Spans of calls that are traced, on their way to a collector by OTLP.
//!
//! Which calls are is decided where they come in ([`Traces::begin`]); whatever is done of them further on has the trace with it, and tells by
//! [`Traces::end`] what it did, when it is done. Nobody waits for a collector: what it does not take in time is dropped and counted.

mod export;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use emshop_proto::trace::Trace;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
pub use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, Value};
use opentelemetry_sdk::trace::{BatchSpanProcessor, SpanData, SpanEvents, SpanLinks, SpanProcessor};
pub use opentelemetry_semantic_conventions::attribute as names;

pub use self::export::{ExportError, Options};
use crate::{Counter, Registry, catalogue};

/// Calls in a second that are traced because their callers say so: whoever can call could trace everything otherwise.
const CALLERS_TRACES_PER_SECOND: u32 = 1_000;

/// How long a process that ends waits for a collector.
const END_WAIT: Duration = Duration::from_secs(3);

/// Where spans go. Cheap to clone; while it is off it costs a look at a pointer.
#[derive(Clone, Default)]
pub struct Traces(Option<Arc<Inner>>);

impl fmt::Debug for Traces {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(if self.are_on() { "on" } else { "off" })
    }
}

struct Inner {
    processor: BatchSpanProcessor,
    scope: InstrumentationScope,
    /// Of all numbers, those below: the share of calls that are traced though nobody asks for it.
    sampled_below: AtomicU64,
    callers: DefaultDirectRateLimiter,
    ended: Counter,
}

/// What somebody is to somebody else's span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Answers a call.
    Server,
    /// Sends a message.
    Producer,
    /// Takes a message.
    Consumer,
    /// Does a part of what is above it.
    Internal,
}

/// The span of a call that has begun.
#[derive(Clone, Copy, Debug)]
pub struct Begun {
    /// Of the call.
    pub trace: Trace,
    /// The span of whoever calls; 0 when that has none.
    pub parent_id: u64,
    /// When it came.
    pub at: SystemTime,
}

/// What was done under a trace.
pub struct Span {
    /// Of it.
    pub trace: Trace,
    /// The span above it; 0 when there is none.
    pub parent_id: u64,
    /// Of few values: ids are attributes.
    pub name: Cow<'static, str>,
    /// What it is to the span above.
    pub role: Role,
    /// When it began.
    pub begin: SystemTime,
    /// When it was done.
    pub end: SystemTime,
    /// By the names of OpenTelemetry's semantic conventions, and `emshop.…` where these have none.
    pub attributes: Vec<KeyValue>,
    /// Why it failed, as a value of few.
    pub error: Option<Cow<'static, str>>,
}

impl Traces {
    /// Sends spans to a collector. Within a runtime of tokio, whose threads talk to it.
    ///
    /// # Errors
    /// When the endpoint is none. Whether somebody is there shows when spans are sent.
    pub fn start(options: &Options, registry: &Registry) -> Result<Self, ExportError> {
        let [ended, exported, failed] =
            ["ended", "exported", "failed"].map(|result| registry.counter(&catalogue::SPANS, &[result]));
        let processor = export::processor(options, exported, failed)?;
        let scope = InstrumentationScope::builder("emshop").with_version(options.version).build();
        let callers = RateLimiter::direct(Quota::per_second(CALLERS_TRACES_PER_SECOND.try_into().expect("not 0")));
        let traces = Self(Some(Arc::new(Inner { processor, scope, sampled_below: AtomicU64::new(0), callers, ended })));
        traces.sample(options.sampling);
        Ok(traces)
    }

    /// From now on this share of the calls is traced whose callers do not say whether they are, from 0 to 1.
    pub fn sample(&self, share: f64) {
        if let Some(inner) = &self.0 {
            // As near as numbers come to it; 1 is all but one of 2^64.
            inner.sampled_below.store((share * u64::MAX as f64) as u64, Ordering::Relaxed);
        }
    }

    /// Whether any call is traced.
    pub fn are_on(&self) -> bool {
        self.0.is_some()
    }

    /// Decides whether a call is traced, by what its caller says (`traceparent`) or, when it says nothing, by chance. A caller that does not keep
    /// its trace is right.
    pub fn begin(&self, traceparent: Option<&str>) -> Option<Begun> {
        let inner = self.0.as_ref()?;
        let (trace, parent_id) = match traceparent.and_then(Trace::parse) {
            Some((parent, true)) if inner.callers.check().is_ok() => (parent.child(rand::random()), parent.span_id),
            Some(_) => return None,
            None => (inner.by_chance()?, 0),
        };
        Some(Begun { trace, parent_id, at: SystemTime::now() })
    }

    /// Decides by chance, for what is one of many of a call: below that one's span if it has one.
    pub fn begin_one_of(&self, call: Option<&Begun>) -> Option<Begun> {
        let root = self.0.as_ref()?.by_chance()?;
        let (trace, parent_id) = call.map_or((root, 0), |call| (call.trace.child(root.span_id), call.trace.span_id));
        Some(Begun { trace, parent_id, at: SystemTime::now() })
    }

    /// Tells what was done.
    pub fn end(&self, span: Span) {
        let Some(inner) = &self.0 else { return };
        inner.ended.inc();
        inner.processor.on_end(inner.data(span));
    }

    /// Sends what is left, and no more. Waits for a collector, but not long.
    pub fn stop(&self) {
        if let Some(inner) = &self.0
            && let Err(error) = inner.processor.shutdown_with_timeout(END_WAIT)
        {
            tracing::warn!(%error, "the last spans did not get to the collector");
        }
    }
}

impl Inner {
    fn by_chance(&self) -> Option<Trace> {
        let is_sampled = rand::random::<u64>() < self.sampled_below.load(Ordering::Relaxed);
        is_sampled.then(|| Trace::new(rand::random::<u128>().max(1), rand::random::<u64>().max(1)))
    }

    fn data(&self, span: Span) -> SpanData {
        let Span { trace, parent_id, name, role, begin, end, mut attributes, error } = span;
        let (trace_id, span_id) = (TraceId::from(trace.trace_id()), SpanId::from(trace.span_id));
        let status = match &error {
            Some(error) => {
                attributes.push(KeyValue::new(names::ERROR_TYPE, Value::from(error.clone())));
                Status::error(error.clone())
            }
            None => Status::Unset,
        };
        SpanData {
            span_context: SpanContext::new(trace_id, span_id, TraceFlags::SAMPLED, false, TraceState::default()),
            parent_span_id: SpanId::from(parent_id),
            parent_span_is_remote: role != Role::Internal && parent_id != 0,
            span_kind: role.into(),
            name,
            start_time: begin,
            end_time: end.max(begin),
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status,
            instrumentation_scope: self.scope.clone(),
        }
    }
}

impl From<Role> for SpanKind {
    fn from(role: Role) -> Self {
        match role {
            Role::Server => Self::Server,
            Role::Producer => Self::Producer,
            Role::Consumer => Self::Consumer,
            Role::Internal => Self::Internal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    /// To where nobody listens.
    fn traces(sampling: f64, registry: &Registry) -> Traces {
        let options = Options { endpoint: "http://127.0.0.1:9".to_owned(), sampling, version: "1", instance: "test".to_owned() };
        Traces::start(&options, registry).expect("an endpoint")
    }

    #[tokio::test]
    async fn a_caller_decides_for_its_own_calls_and_chance_for_others() {
        let registry = Registry::new();
        let (none, all) = (traces(0.0, &registry), traces(1.0, &registry));
        let call = none.begin(Some(CALLER)).expect("its caller keeps it");
        assert_eq!((call.parent_id, call.trace.trace_id()), (0x00f0_67aa_0ba9_02b7, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736));
        assert_ne!(call.trace.span_id, call.parent_id);
        assert!(all.begin(Some(&CALLER.replace("-01", "-00"))).is_none(), "its caller does not");
        assert!(none.begin(None).is_none() && none.begin_one_of(Some(&call)).is_none());
        for traceparent in [None, Some("nonsense")] {
            let root = all.begin(traceparent).expect("all are traced");
            assert!(root.parent_id == 0 && root.trace.trace_id() != 0);
        }
        let one = all.begin_one_of(Some(&call)).expect("all are traced");
        assert_eq!((one.trace.trace_id(), one.parent_id), (call.trace.trace_id(), call.trace.span_id));
        none.sample(1.0);
        assert!(none.begin(None).is_some(), "from now on");
        assert!(Traces::default().begin(Some(CALLER)).is_none(), "it is off");
    }

    /// Or each of them could have everything traced.
    #[tokio::test]
    async fn callers_get_so_many_traces_and_no_more() {
        let traces = traces(0.0, &Registry::new());
        let begun = (0..20 * CALLERS_TRACES_PER_SECOND).filter(|_| traces.begin(Some(CALLER)).is_some()).count();
        assert!((1_000..10_000).contains(&begun), "{begun}");
    }

    #[tokio::test]
    async fn an_endpoint_is_an_address_of_the_web() {
        for endpoint in ["", "collector", "ftp://collector:4317", "http://"] {
            let options = Options { endpoint: endpoint.to_owned(), sampling: 0.0, version: "1", instance: String::new() };
            assert!(Traces::start(&options, &Registry::new()).is_err(), "{endpoint:?}");
        }
    }
}
