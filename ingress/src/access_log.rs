//! A line for each call, for those who ask for it by the filter of log lines (`access=debug`); without, a call costs a look at a number.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use emshop_proto::trace::Trace;
use tonic::codegen::http::Extensions;

use crate::access::{Caller, Identity};

/// What filters know these lines by.
const TARGET: &str = "access";

/// Whether lines are wanted.
pub fn is_on() -> bool {
    tracing::enabled!(target: TARGET, tracing::Level::DEBUG)
}

/// Who makes a call. It is known when the guard has looked.
#[derive(Clone, Default)]
pub struct Who(Arc<OnceLock<Caller>>);

impl Who {
    /// Notes who makes the call, if somebody wants to know.
    pub fn note(extensions: &Extensions, identity: &Identity) {
        if let Some(who) = extensions.get::<Self>() {
            let _ = who.0.set(identity.caller);
        }
    }
}

/// A call that has ended.
pub struct Access<'a> {
    pub method: &'a str,
    pub code: &'a str,
    pub took: Duration,
    pub peer: IpAddr,
    pub who: &'a Who,
    pub trace: Option<Trace>,
}

impl Access<'_> {
    pub fn write(&self) {
        let Self { method, code, took, peer, who, trace } = self;
        let caller = who.0.get();
        tracing::debug!(
            target: TARGET,
            event = "rpc",
            method,
            code,
            seconds = took.as_secs_f64(),
            %peer,
            user = caller.map(|caller| caller.user_id),
            role = caller.map(|caller| caller.role.name()),
            trace_id = trace.map(|trace| format!("{:032x}", trace.trace_id())),
            span_id = trace.map(|trace| format!("{:016x}", trace.span_id)),
            "a call ended"
        );
    }
}
