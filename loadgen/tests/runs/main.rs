//! Whole runs against a small shop over real gRPC: what a correct shop yields, and that each of its faults is found.

mod shop;
mod tls;

use std::process::Command;

use clap::Parser;
use emshop_loadgen::report::Discipline;
use emshop_loadgen::settings::Auth;
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
        for mode in
            ["unary --clients 120", "stream --clients 3 --batch 64 --popularity zipf", "stream --clients 1 --batch 1 --window 7"]
        {
            let report = run(&target, &format!("--workload {workload} --mode {mode} --orders 5000")).await.unwrap();
            assert!(report.good, "{workload} {mode}: {report} {:?}", report.differences);
            assert_eq!((report.orders, report.ok, report.refused), (5_000, 5_000, 0));
            assert_eq!(report.server_version.as_deref(), Some("shop/7"));
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
        assert!(report.good, "{mode}: {report} {:?}", report.differences);
        assert_eq!((report.ok, report.refused, report.orders_verified), (100, 900, 1_000));
    }
}

/// Orders of two lines are in each other's way, and those refused are not any more.
#[tokio::test]
async fn a_refusal_for_want_of_stock_is_told_from_one_that_is_wrong() {
    for mode in ["unary", "stream --batch 32"] {
        let scarce = run_against(Fault::None, &format!("--mode {mode} --stock 50 --orders 5000")).await;
        assert!(scarce.good && scarce.refused_wrongly == 0, "{mode}: {scarce} {:?}", scarce.differences);
        assert!(scarce.refused > 1_000 && scarce.goodput_per_s < scarce.refused_per_s, "{scarce}");
        let wrong = run_against(Fault::RefusesWhatItHas, &format!("--mode {mode} --orders 1000")).await;
        assert_eq!((wrong.ok, wrong.refused, wrong.refused_wrongly, wrong.errors), (999, 1, 1, 0));
        let difference = "1 orders were refused for lack of stock that was there, such as order";
        assert!(wrong.differences.len() == 1 && wrong.differences[0].starts_with(difference), "{:?}", wrong.differences);
    }
}

#[tokio::test]
async fn who_gets_no_answer_in_time_counts_with_the_timeout() {
    for fault in [Fault::SwallowsOutcome, Fault::AnswersLate] {
        let report = run_against(fault, "--mode stream --clients 1 --batch 8 --window 16 --timeout 1s --duration 2500ms").await;
        assert!(report.verified, "{fault:?}: {report} {:?}", report.differences);
        assert_eq!((report.errors, report.errors_by_code["timed out"]), (1, 1), "an outcome after its time is no second error");
        assert!(report.latency_ms.max >= 1_000.0, "{report}");
        assert!(report.accepted_latency_ms.max < 1_000.0, "{report}");
    }
}

/// Each of two users may have 20 unpaid orders, and is told at once that it is no more.
#[tokio::test]
async fn who_is_refused_for_good_counts_with_the_time_that_it_took() {
    for mode in ["unary", "stream --batch 32"] {
        let report = run_against(Fault::LimitsUnpaid, &format!("--mode {mode} --users 2 --orders 500")).await;
        assert_eq!((report.ok, report.errors, report.errors_by_code["UNPAID_ORDERS_TOO_MANY"]), (40, 460, 460), "{report}");
        assert!(report.verified && !report.good, "{mode}: {report} {:?}", report.differences);
        assert!(report.latency_ms.max < report.timeout_ms, "{report}");
        assert!(report.to_string().contains("shop.unpaid_orders_max of each user"), "{report}");
    }
}

#[tokio::test]
async fn an_open_loop_keeps_its_schedule() {
    for mode in ["unary", "stream --batch 16"] {
        for arrivals in ["even", "poisson"] {
            let report =
                run_against(Fault::None, &format!("--mode {mode} --arrivals {arrivals} --rate 2000 --duration 500ms")).await;
            assert!(report.good, "{mode}: {report} {:?}", report.differences);
            assert_eq!((report.offered_per_s, report.discipline), (Some(2_000.0), Discipline::Open));
            let orders = if arrivals == "even" { 1_000..=1_000 } else { 850..=1_150 };
            assert!(orders.contains(&report.orders), "{arrivals}: {report}");
            assert!(report.lag_ms.is_some());
            assert!((0.4..20.0).contains(&report.duration_s), "{} s", report.duration_s);
        }
    }
}

#[tokio::test]
async fn a_warm_up_is_verified_and_in_no_figure() {
    for mode in ["unary --readers 2", "stream"] {
        let report = run_against(Fault::None, &format!("--mode {mode} --rate 1000 --warmup 400ms --duration 600ms")).await;
        assert!(report.good, "{mode}: {report} {:?}", report.differences);
        assert_eq!((report.warmup.orders, report.orders, report.ok), (400, 600, 600));
        assert!((0.5..20.0).contains(&report.duration_s), "{} s", report.duration_s);
        assert_eq!(report.series.iter().map(|second| second.ok).sum::<u64>(), 1_000, "the series has all of it");
        let read: u64 = report.reads.map_or(0, |reads| reads.errors);
        assert!(mode == "stream" || read > 0, "this shop has no lists");
    }
    // The fault is in the warm-up, and found all the same.
    let faulty = run_against(Fault::LosesReservation, "--rate 1000 --warmup 500ms --duration 500ms").await;
    assert!(!faulty.verified, "{faulty}");
    let failing = run_against(Fault::AnswersWithError, "--rate 1000 --warmup 500ms --duration 500ms").await;
    assert_eq!((failing.errors, failing.warmup.errors, failing.good), (0, 1, false));
    let judged = run_against(Fault::AnswersWithError, "--rate 1000 --warmup 500ms --duration 500ms --assert errors=0").await;
    assert_eq!((judged.warmup.errors, judged.assertions[0].has, judged.good), (1, 0.0, true), "the assertion is of the figure");
    let nothing = run(&Shop::open(Fault::None), "--warmup 500ms --orders 10").await.expect_err("all was warm-up");
    assert!(nothing.to_string().contains("over before its warm-up"), "{nothing:#}");
}

#[tokio::test]
async fn a_duration_ends_a_closed_loop() {
    for mode in ["unary", "stream"] {
        let report = run_against(Fault::None, &format!("--mode {mode} --duration 300ms")).await;
        assert!(report.good, "{mode}: {report} {:?}", report.differences);
        assert!(report.orders == report.ok && report.lag_ms.is_none());
        assert_eq!(report.discipline, Discipline::Closed);
        assert!((0.3..20.0).contains(&report.duration_s), "{} s", report.duration_s);
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
            assert!(report.verified && !report.good, "{fault:?} {mode}: {report} {:?}", report.differences);
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
    assert!(run(&target, "--run 7 --orders 10").await.unwrap().good);
    let again = run(&target, "--run 7 --orders 10").await.expect_err("its ids are taken");
    assert!(format!("{again:#}").contains("--run"), "{again:#}");
    assert!(run("http://127.0.0.1:1", "--orders 10").await.is_err(), "nobody is there");
}

#[tokio::test]
async fn each_user_orders_with_a_token_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let key_file = folder.path().join("auth.key");
    std::fs::write(&key_file, hex::encode([7; 32])).unwrap();
    let key_file = key_file.display();
    for (arguments, auth, by_users) in
        [("--mode unary --workload checkout --users 30", Auth::Users, 300), ("--mode stream --users 30", Auth::Admin, 0)]
    {
        let shop = Shop::guarded(&[7; 32]);
        let report = run(&shop.serve(), &format!("{arguments} --orders 300 --key-file {key_file}")).await.unwrap();
        assert!(report.good, "{report} {:?}", report.differences);
        assert_eq!((report.auth, shop.by_users()), (auth, by_users));
    }
    let another = run(&Shop::guarded(&[8; 32]).serve(), &format!("--orders 10 --key-file {key_file}")).await;
    assert!(format!("{:#}", another.expect_err("signed with another key")).contains("InvalidSignature"));
    let nobody = run(&Shop::guarded(&[7; 32]).serve(), "--orders 10").await;
    let told = format!("{:#}", nobody.expect_err("nobody may do that"));
    assert!(told.contains("--token") && told.contains("--key-file"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_code_says_whether_assertions_hold() {
    let target = Shop::open(Fault::None);
    let program = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_emshop-loadgen"));
        command.args(["--target", &target, "--orders", "200", "--skus", "50"]).args(arguments).output().expect("it starts")
    };
    assert!(program(&["--assert", "errors=0", "--assert", "p99<1h"]).status.success());
    let failed = program(&["--assert", "ok=200", "--assert", "goodput>1000000000"]);
    assert_eq!(failed.status.code(), Some(1));
    let said = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert!(said.contains("assertion: goodput>1000000000: DOES NOT HOLD, it is ") && !said.contains("ok=200"), "{said}");
    let misspelt = program(&["--assert", "p99<50"]);
    assert_eq!(misspelt.status.code(), Some(2), "before anything is sent");
}
