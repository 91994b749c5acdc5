//! Traces: from a caller's span by the log and the steps of sagas to the events, and on in a downstream service.

use std::fs::File;
use std::process::{Child, Command as Program, Stdio};

use emshop_proto::v1::SubmitOrderRequest;
use emshop_proto::v1::order_service_client::OrderServiceClient;
use emshop_telemetry::traces::names;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use tempfile::TempDir;
use tonic::Request;
use tonic_types::StatusExt;

use crate::collector::{Collector, Span};
use crate::process::{Process, Starting, command, path};
use crate::shop::{Shop, Way, submit};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

/// Units of goods 1 to 8, which two logs share out.
const UNITS: [u64; 8] = [1_000; 8];

fn traced(request: SubmitOrderRequest, trace: &str, flags: &str) -> Request<SubmitOrderRequest> {
    let mut request = Request::new(request);
    let says = format!("00-{trace}-{CALLER}-{flags}");
    request.metadata_mut().insert("traceparent", says.parse().expect("text"));
    request
}

fn serve(collector: &Collector, data: &TempDir, logs: &str, sampling: &str) -> Process {
    let environment =
        [("EMSHOP__TELEMETRY__OTLP__ENDPOINT", collector.url()), ("EMSHOP__TELEMETRY__OTLP__SAMPLING", sampling.to_owned())];
    let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let flags = ["--auth", "off", "--logs", logs, "--data", path(data.path())];
    Starting::spawn_with(&flags, &environment).serves()
}

/// The only one of this name.
fn named<'s>(spans: &'s [Span], name: &str) -> &'s Span {
    let mut found = spans.iter().filter(|span| span.name == name);
    let span = found.next().unwrap_or_else(|| panic!("no {name} in {spans:#?}"));
    assert!(found.next().is_none(), "more than one {name} in {spans:#?}");
    span
}

fn has(spans: &[Span], name: &str) -> bool {
    spans.iter().any(|span| span.name == name)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_traced_from_its_caller_to_a_downstream_service() {
    let (data, collector) = (TempDir::new().unwrap(), Collector::start().await);
    let process = serve(&collector, &data, "2", "0");
    let shop = Shop::new(process.channel().await);
    shop.stock_up(&UNITS).await;
    let _printer = Printer::start(&data, &collector);
    let mut orders = OrderServiceClient::new(process.channel().await);
    let lines = [1, 2, 3, 4, 5, 6, 7, 8].map(|goods_id| (goods_id, 1));
    orders.submit_order(traced(submit("traced", &lines), TRACE, "01")).await.expect("there is enough");

    let downstream = "process order.submitted";
    let last = [downstream, "emshop.v1.OrderService/SubmitOrder", "publish order.submitted", "Inventory/ReserveStock"];
    let spans = collector.trace(TRACE, |spans| last.iter().all(|name| has(spans, name))).await;
    let call = named(&spans, "emshop.v1.OrderService/SubmitOrder");
    assert_eq!((call.kind, call.parent.as_str(), call.failed), (SpanKind::Server, CALLER, false));
    assert_eq!([&call.attributes[names::RPC_SYSTEM_NAME], &call.attributes[names::RPC_RESPONSE_STATUS_CODE]], ["grpc", "OK"]);
    let append = spans.iter().find(|span| span.parent == call.id).expect("the call's command is appended");
    assert!(append.name.starts_with("append EMSHOP_LOG_") && append.kind == SpanKind::Producer, "{append:?}");
    let applied = named(&spans, "apply submit_order");
    assert_eq!((applied.kind, &applied.parent), (SpanKind::Consumer, &append.id));
    assert_eq!(applied.attributes["emshop.sequence"], append.attributes["emshop.sequence"]);
    for step in ["Order/CreateOrder", "Payment/CreatePayment"] {
        let step = named(&spans, step);
        assert_eq!((step.kind, &step.parent), (SpanKind::Internal, &applied.id), "{step:?}");
    }
    // The goods of the other log are reserved there, and the saga ends with what that replies.
    let asked = spans.iter().find(|span| span.name == "apply step" && span.parent == applied.id).expect("the other log is asked");
    assert_ne!(asked.attributes["emshop.log"], applied.attributes["emshop.log"]);
    let replied = spans.iter().find(|span| span.name == "apply step" && span.parent == asked.id).expect("it replies");
    assert_eq!(replied.attributes["emshop.log"], applied.attributes["emshop.log"]);
    let reserved = named(&spans, "Inventory/ReserveStock");
    assert_eq!((&reserved.parent, reserved.attributes.contains_key("emshop.refusal")), (&replied.id, false));
    let published = named(&spans, "publish order.submitted");
    assert_eq!((published.kind, &published.parent), (SpanKind::Producer, &replied.id));
    let taken = named(&spans, downstream);
    assert_eq!((taken.service.as_str(), &taken.parent), ("printer", &published.id));
    assert!(spans.iter().all(|span| span.begin <= span.end && (span.service == "emshop" || span.id == taken.id)), "{spans:#?}");
    assert!(spans.iter().all(|span| !span.failed), "{spans:#?}");

    // What a message's header says is one of its events.
    let consumed = command(&["consume", "--data", path(data.path()), "--type", "order.submitted"]).output().expect("it runs");
    let lines = String::from_utf8(consumed.stdout).expect("UTF-8");
    assert!(lines.contains(&format!("00-{TRACE}-{}-01", published.id)), "{lines}");
    assert_eq!(process.terminate().code(), Some(0));
}

/// A service as `examples/traced_events.rs` has it.
struct Printer(Child);

impl Printer {
    fn start(data: &TempDir, collector: &Collector) -> Self {
        let credentials = data.path().join("printer.json");
        let mut made = command(&["consumer-credentials", "--data", path(data.path()), "--name", "printer"]);
        let made = made.stdout(File::create(&credentials).expect("a file")).status().expect("it runs");
        assert!(made.success());
        let test = std::env::current_exe().expect("a process knows its program");
        let example = test.ancestors().nth(2).expect("a folder of the target folder").join("examples/traced_events");
        let mut printer = Program::new(example);
        printer.arg(credentials).env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url()).env("OTEL_BSP_SCHEDULE_DELAY", "100");
        Self(printer.stdout(Stdio::null()).spawn().expect("examples are built with the tests"))
    }
}

impl Drop for Printer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_seen_at_the_step_that_it_was_made_at() {
    let (data, collector) = (TempDir::new().unwrap(), Collector::start().await);
    let process = serve(&collector, &data, "1", "0");
    let shop = Shop::new(process.channel().await);
    shop.stock_up(&UNITS).await;
    let mut orders = OrderServiceClient::new(process.channel().await);
    let refused = orders.submit_order(traced(submit("large", &[(1, 1_000_000)]), TRACE, "01")).await.expect_err("too much");
    let reason = refused.get_details_error_info().expect("a refusal says why").reason;
    let undone = "Order/CreateOrderCompensate";
    let spans = collector.trace(TRACE, |spans| has(spans, undone) && has(spans, "emshop.v1.OrderService/SubmitOrder")).await;
    let refusal = |name: &str| named(&spans, name).attributes.get("emshop.refusal").cloned();
    assert_eq!(["Inventory/ReserveStock", "apply submit_order"].map(refusal), [Some(reason.clone()), Some(reason)]);
    assert_eq!(["Order/CreateOrder", "Payment/CancelPayment", undone].map(refusal), [None, None, None]);

    // Whose caller does not keep its trace is not traced, and neither is what nobody asks for.
    let not_kept = TRACE.replace('4', "5");
    orders.submit_order(traced(submit("not-kept", &[(1, 1)]), &not_kept, "00")).await.expect("there is enough");
    orders.submit_order(submit("plain", &[(1, 1)])).await.expect("there is enough");
    assert_eq!(process.terminate().code(), Some(0));
    assert!(collector.spans().iter().all(|span| span.trace == TRACE), "{:#?}", collector.spans());
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_and_commands_of_streams_are_traced_by_chance() {
    let (data, collector) = (TempDir::new().unwrap(), Collector::start().await);
    let process = serve(&collector, &data, "2", "1");
    let shop = Shop::new(process.channel().await);
    shop.stock_up(&UNITS).await;
    let orders =
        (0..20).map(|number| emshop_proto::v1::command::Body::SubmitOrder(submit(&format!("o-{number}"), &[(1, 1)])).into());
    shop.carry_out(Way::Stream, orders.collect()).await;
    assert_eq!(process.terminate().code(), Some(0));
    // What ends sends what it has.
    let spans = collector.spans();
    let streams: Vec<_> = spans.iter().filter(|span| span.name == "emshop.v1.PipelineService/Submit").collect();
    let applied: Vec<_> = spans.iter().filter(|span| span.name == "apply submit_order").collect();
    assert_eq!((streams.iter().all(|span| span.parent.is_empty()), applied.len()), (true, 20), "{spans:#?}");
    for span in applied {
        let append = spans.iter().find(|append| append.id == span.parent).expect("it was appended");
        assert!(streams.iter().any(|stream| (&stream.id, &stream.trace) == (&append.parent, &append.trace)), "{append:?}");
    }
}

/// The collector is nobody's whose absence anybody else would notice.
#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_keeps_nobody_waiting() {
    let (data, collector) = (TempDir::new().unwrap(), Collector::start().await);
    let process = serve(&collector, &data, "2", "1");
    drop(collector);
    let shop = Shop::new(process.channel().await);
    shop.stock_up(&UNITS).await;
    shop.settled().await;
    assert_eq!(process.terminate().code(), Some(0));
    let wrong = command(&["serve", "--data", path(data.path())]).env("EMSHOP__TELEMETRY__OTLP__ENDPOINT", "collector").output();
    let wrong = wrong.expect("it runs");
    let said = String::from_utf8_lossy(&wrong.stderr);
    assert!(wrong.status.code() == Some(2) && said.contains("is no address of a collector"), "{said}");
}
