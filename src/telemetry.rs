//! Log lines on stderr, spans of traced calls, and what happens when something panics.

use std::io::{IsTerminal, stderr};
use std::panic;
use std::sync::OnceLock;
use std::thread;

use anyhow::{Context, Result};
use emshop_telemetry::Registry;
use emshop_telemetry::traces::{Options, Traces};
use tracing::{Level, Metadata};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::prelude::*;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::{EnvFilter, Registry as Lines};

use crate::config::{LogFormat, Otlp, Telemetry, Unacceptable};
use crate::node::kernel;
use crate::{EXIT_BUG, exit};

/// The filter of this process's lines, once they go anywhere.
static FILTER: OnceLock<Handle<EnvFilter, Lines>> = OnceLock::new();

/// Sends log lines to stderr: text on a terminal, JSON otherwise, unless the settings say which.
pub fn start(settings: &Telemetry) -> Result<()> {
    let filter = EnvFilter::try_new(&settings.log).with_context(|| format!("telemetry.log is no filter: {:?}", settings.log))?;
    let (filter, handle) = reload::Layer::new(filter);
    let json = match settings.format {
        LogFormat::Auto => !stderr().is_terminal(),
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(stderr);
    let lines = if json {
        lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
    } else {
        lines.with_target(false).boxed()
    };
    tracing_subscriber::registry().with(filter).with(filter_fn(is_discreet)).with(lines).init();
    // There is one in a process.
    let _ = FILTER.set(handle);
    exit_on_panic();
    Ok(())
}

/// Where spans of traced calls go, by the settings. Within a runtime.
///
/// # Errors
/// [`Unacceptable`], when the endpoint is none.
pub fn traces(settings: &Telemetry, registry: &Registry) -> Result<Traces> {
    let Otlp { endpoint: Some(endpoint), sampling } = &settings.otlp else { return Ok(Traces::default()) };
    let instance = format!("{}:{}", kernel("hostname")?, std::process::id());
    let version = env!("CARGO_PKG_VERSION");
    let options = Options { endpoint: endpoint.in_clear().to_owned(), sampling: *sampling, version, instance };
    Traces::start(&options, registry).context("telemetry.otlp.endpoint").context(Unacceptable)
}

/// From now on the log lines go by this filter, which was checked with the settings.
pub fn filter(filter: &str) {
    if let (Some(handle), Ok(filter)) = (FILTER.get(), EnvFilter::try_new(filter)) {
        // It fails when there are no lines any more.
        let _ = handle.reload(filter);
    }
}

/// The NATS client traces whole messages, and with them the hashes of passwords: no filter brings those out.
fn is_discreet(line: &Metadata) -> bool {
    *line.level() != Level::TRACE || !line.target().starts_with("async_nats")
}

/// Ends the whole process when any of its threads or tasks panics. A panic is a broken invariant: to go on half alive would mean
/// to serve wrong numbers, and what is in the log is replayed by the next start.
fn exit_on_panic() {
    panic::set_hook(Box::new(|info| {
        let location = info.location().map(ToString::to_string).unwrap_or_default();
        let thread = thread::current().name().unwrap_or("unnamed").to_owned();
        let payload = info.payload();
        let constant = || payload.downcast_ref::<&str>().copied();
        let message = payload.downcast_ref::<String>().map(String::as_str).or_else(constant).unwrap_or("no message");
        tracing::error!(event = "process.bug", location, thread, "stopping at once, a bug or a broken invariant: {message}");
        exit::at_once(EXIT_BUG.into());
    }));
}
