//! Goes on with the traces of what happens in the shop: each event that is traced gets a span here, below the one that it was published by.
//! `OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4317 cargo run --release --example traced_events -- printer.json`, with what
//! `emshop consumer-credentials --name printer > printer.json` has printed. How events are taken in full says `events.rs`.

use std::collections::HashMap;
use std::fs::File;

use anyhow::{Context, Result, anyhow};
use async_nats::ConnectOptions;
use async_nats::jetstream::{self, consumer::PullConsumer};
use emshop_proto::subjects::EVENT_STREAM;
use emshop_proto::v1::{Event, EventBatch};
use futures::StreamExt;
use opentelemetry::KeyValue;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{Span, SpanKind, Tracer, TracerProvider};
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use prost::Message;
use serde_json::Value;

#[tokio::main]
async fn main() -> Result<()> {
    let exporter = SpanExporter::builder().with_tonic().build()?;
    let resource = Resource::builder().with_service_name("printer").build();
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
    let tracer = provider.tracer("printer");

    let file = std::env::args().nth(1).context("name the file with the credentials")?;
    let credentials: HashMap<String, Value> = serde_json::from_reader(File::open(file)?)?;
    let text = |name: &str| credentials.get(name).and_then(Value::as_str).with_context(|| format!("there is no {name}"));
    let options = ConnectOptions::with_user_and_password(text("user")?.to_owned(), text("password")?.to_owned());
    let jetstream = jetstream::with_prefix(options.connect(text("url")?).await?, text("jetstream_api_prefix")?);
    let consumer: PullConsumer = jetstream.get_consumer_from_stream(text("consumer")?, EVENT_STREAM).await?;
    let mut messages = consumer.messages().await?;
    while let Some(message) = messages.next().await {
        let message = message?;
        let batch = EventBatch::decode(message.payload.clone())?;
        for event in &batch.events {
            print(&tracer, &batch.r#type, event);
        }
        message.ack().await.map_err(|error| anyhow!(error))?;
    }
    Ok(())
}

/// Whatever is done of an event, done under its trace.
fn print(tracer: &impl Tracer, what: &str, event: &Event) {
    // A message has many events, of many traces: so each says its own.
    let carrier = HashMap::from([("traceparent".to_owned(), event.traceparent.clone())]);
    let above = TraceContextPropagator::new().extract(&carrier);
    let attributes = [KeyValue::new("messaging.system", "nats"), KeyValue::new("messaging.operation.type", "process")];
    let span = tracer.span_builder(format!("process {what}")).with_kind(SpanKind::Consumer).with_attributes(attributes);
    let mut span = span.start_with_context(tracer, &above);
    println!("{what} {} of trace {}", event.number, span.span_context().trace_id());
    span.end();
}
