//! Whole runs against a small shop over real gRPC: what a correct shop yields, and that each of its faults is found.

mod shop;

use clap::Parser;
use emshop_loadgen::{Report, Settings};
use shop::{Fault, Shop};

async fn run(target: &str, arguments: &str) -> anyhow::Result<Report> {
    let arguments =
        ["emshop-loadgen", "--json", "--skus", "50", "--target", target].into_iter().chain(arguments.split_whitespace());
    emshop_loadgen::run(&Settings::parse_from(arguments)).await
}

async fn run_against(fault: Fault, arguments: &str) -> Report {
    run(&Shop::open(fault), arguments).await.expect("the run takes place")
}

#[tokio::test]
async fn every_workload_in_every_mode_is_verified() {
    let target = Shop::open(Fault::None);
    for workload in ["submit", "checkout", "flash"] {
        for mode in ["unary --clients 120", "stream --clients 3 --batch 64", "stream --clients 1 --batch 1 --window 7"] {
            let report = run(&target, &format!("--workload {workload} --mode {mode} --orders 5000")).await.unwrap();
            assert!(report.is_good(), "{workload} {mode}: {report} {:?}", report.differences);
            assert_eq!((report.orders, report.ok, report.refused), (5_000, 5_000, 0));
            assert!(report.latency_ms.p50 > 0.01 && report.latency_ms.max < report.duration_s * 1_000.0, "{report}");
            assert_eq!(report.skus_verified, if workload == "flash" { 1 } else { 50 });
            assert!((500..=2_000).contains(&report.orders_verified), "{} orders were read", report.orders_verified);
        }
    }
}

#[tokio::test]
async fn what_is_sold_out_is_refused() {
    for mode in ["unary", "stream --batch 32"] {
        let report = run_against(Fault::None, &format!("--workload flash --mode {mode} --stock 100 --orders 1000")).await;
        assert!(report.is_good(), "{mode}: {report} {:?}", report.differences);
        assert_eq!((report.ok, report.refused, report.orders_verified), (100, 900, 1_000));
    }
}

#[tokio::test]
async fn an_open_loop_keeps_its_schedule() {
    for mode in ["unary", "stream --batch 16"] {
        let report = run_against(Fault::None, &format!("--mode {mode} --rate 2000 --duration 500ms")).await;
        assert!(report.is_good(), "{mode}: {report} {:?}", report.differences);
        assert_eq!((report.orders, report.offered_per_s), (1_000, Some(2_000.0)));
        assert!(report.lag_ms.is_some());
        assert!((0.49..5.0).contains(&report.duration_s), "{} s", report.duration_s);
    }
}

#[tokio::test]
async fn a_duration_ends_a_closed_loop() {
    for mode in ["unary", "stream"] {
        let report = run_against(Fault::None, &format!("--mode {mode} --duration 300ms")).await;
        assert!(report.is_good(), "{mode}: {report} {:?}", report.differences);
        assert!(report.orders == report.ok && report.lag_ms.is_none());
        assert!((0.3..5.0).contains(&report.duration_s), "{} s", report.duration_s);
    }
}

#[tokio::test]
async fn a_shop_that_is_wrong_is_found_out() {
    for fault in [Fault::LosesReservation, Fault::ForgetsRepeats] {
        for mode in ["unary", "stream"] {
            let report = run_against(fault, &format!("--mode {mode} --orders 1000")).await;
            assert!(!report.verified && report.errors == 0, "{fault:?} {mode}: {report}");
        }
    }
}

#[tokio::test]
async fn what_became_of_orders_in_error_is_found_out() {
    let cases = [
        (Fault::AnswersWithError, "--mode unary", "SERVICE_UNAVAILABLE", 1..=1),
        (Fault::AnswersWithError, "--mode stream", "SERVICE_UNAVAILABLE", 1..=1),
        (Fault::SwallowsOutcome, "--mode stream --timeout 300ms", "timed out", 1..=1),
        (Fault::BreaksStream, "--mode stream --clients 1 --batch 20", "stream broken: Unavailable", 20..=80),
    ];
    for workload in ["submit", "checkout"] {
        for (fault, mode, code, errors) in cases.clone() {
            let report = run_against(fault, &format!("{mode} --workload {workload} --orders 1000")).await;
            assert!(report.verified && !report.is_good(), "{fault:?} {mode}: {report} {:?}", report.differences);
            assert!(
                errors.contains(&report.errors) && report.errors_by_code[code] == report.errors,
                "{:?}",
                report.errors_by_code
            );
            assert_eq!(report.orders_resolved as u64, report.errors);
            assert_eq!(report.ok + report.errors, 1_000);
        }
    }
}

#[tokio::test]
async fn a_run_number_serves_once() {
    let target = Shop::open(Fault::None);
    assert!(run(&target, "--run 7 --orders 10").await.unwrap().is_good());
    let again = run(&target, "--run 7 --orders 10").await.expect_err("its ids are taken");
    assert!(format!("{again:#}").contains("--run"), "{again:#}");
    assert!(run("http://127.0.0.1:1", "--orders 10").await.is_err(), "nobody is there");
}
