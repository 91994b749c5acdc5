//! The way to the collector, by the libraries of OpenTelemetry: gRPC, in batches, on a thread of its own.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_otlp::{SpanExporter as Otlp, WithExportConfig, WithTonicConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanExporter, SpanProcessor};
use opentelemetry_semantic_conventions::attribute::{SERVICE_INSTANCE_ID, SERVICE_VERSION};
use tonic::transport::ClientTlsConfig;

use crate::Counter;

/// What is known to the collector.
const SERVICE: &str = "emshop";
/// Spans that wait; what comes beyond is dropped.
const WAITING_MAX: usize = 8_192;
const BATCH_MAX: usize = 1_024;
const BATCH_EVERY: Duration = Duration::from_secs(1);
/// How long a collector may take for a batch.
const EXPORT_WAIT: Duration = Duration::from_secs(5);

/// Where spans go, and which.
#[derive(Clone, Debug)]
pub struct Options {
    /// Such as `http://collector:4317`.
    pub endpoint: String,
    /// The share of calls that are traced though nobody asks for it, from 0 to 1.
    pub sampling: f64,
    /// Of this build.
    pub version: &'static str,
    /// Tells this process from others.
    pub instance: String,
}

/// Why spans cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// What was named as one.
    #[error("{0:?} is no address of a collector such as http://127.0.0.1:4317")]
    Endpoint(String),
    /// What the library says.
    #[error("spans cannot be sent: {0}")]
    Library(String),
}

/// What takes spans, and counts what becomes of them. Headers and attributes of OpenTelemetry's own environment variables go with them.
pub fn processor(options: &Options, exported: Counter, failed: Counter) -> Result<BatchSpanProcessor, ExportError> {
    let endpoint = &options.endpoint;
    let rest = endpoint.strip_prefix("http://").or_else(|| endpoint.strip_prefix("https://"));
    if rest.is_none_or(str::is_empty) {
        return Err(ExportError::Endpoint(endpoint.clone()));
    }
    let exporter = Otlp::builder().with_tonic().with_endpoint(endpoint).with_timeout(EXPORT_WAIT);
    let exporter = match endpoint.starts_with("https://") {
        true => exporter.with_tls_config(ClientTlsConfig::new().with_native_roots()),
        false => exporter,
    };
    let exporter = exporter.build().map_err(|error| ExportError::Library(error.to_string()))?;
    let counted = Counted { exporter, exported, failed };
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(WAITING_MAX)
        .with_max_export_batch_size(BATCH_MAX)
        .with_scheduled_delay(BATCH_EVERY);
    let mut processor = BatchSpanProcessor::builder(counted).with_batch_config(batches.build()).build();
    let of_process =
        [KeyValue::new(SERVICE_VERSION, options.version), KeyValue::new(SERVICE_INSTANCE_ID, options.instance.clone())];
    processor.set_resource(&Resource::builder().with_service_name(SERVICE).with_attributes(of_process).build());
    Ok(processor)
}

/// Counts what becomes of spans.
#[derive(Debug)]
struct Counted {
    exporter: Otlp,
    exported: Counter,
    failed: Counter,
}

impl SpanExporter for Counted {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len() as u64;
        let exported = self.exporter.export(batch).await;
        match &exported {
            Ok(()) => self.exported.inc_by(spans),
            Err(error) => {
                self.failed.inc_by(spans);
                tracing::debug!(%error, spans, "the collector of traces did not take spans");
            }
        }
        exported
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
