//! `emshop top`: what it shows is what happens.

use std::io::{BufRead, BufReader};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use emshop_proto::v1::command::Body;
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::metrics::Admin;
use crate::process::{PATIENCE, Process, command, path, send};
use crate::shop::{Shop, submit};

/// Orders of more than there is, and of what there is, go on until this is dropped.
fn keep_ordering(shop: Shop) -> tokio::task::JoinSet<()> {
    let mut ordering = tokio::task::JoinSet::new();
    ordering.spawn(async move {
        for number in 0.. {
            shop.call(Body::SubmitOrder(submit(&format!("good-{number}"), &[(1, 1)])).into()).await;
            shop.call(Body::SubmitOrder(submit(&format!("bad-{number}"), &[(2, 1)])).into()).await;
        }
    });
    ordering
}

fn top(admins: &[&str], flags: &[&str]) -> Output {
    let admins: Vec<_> = admins.iter().map(|admin| format!("--admin=http://{admin}")).collect();
    let admins: Vec<_> = admins.iter().map(String::as_str).collect();
    command(&[&["top"], admins.as_slice(), flags].concat()).output().expect("the binary runs")
}

async fn shop(data: &TempDir) -> (Admin, Process, Shop) {
    let (admin, starting) = Admin::spawn(&["--data", path(data.path()), "--auth", "off"], &[]);
    let process = starting.serves();
    let shop = Shop::new(process.channel().await);
    shop.stock_up(&[1_000_000, 0]).await;
    (admin, process, shop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_tells_calls_refusals_and_logs() {
    let data = TempDir::new().unwrap();
    let (admin, process, shop) = shop(&data).await;
    let ordering = keep_ordering(shop);
    let looked = top(&[admin.address()], &["--once", "--interval", "1s"]);
    drop(ordering);
    let page = String::from_utf8(looked.stdout).expect("UTF-8");
    assert!(looked.status.success(), "{page}");
    let row = |begin: &str| {
        let row = page.lines().find(|line| line.trim_start().starts_with(begin)).unwrap_or_else(|| panic!("{begin}: {page}"));
        row.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let number = |text: &str| text.parse::<f64>().unwrap_or_else(|_| panic!("{text:?} in {page}"));
    assert_eq!(row(admin.address())[1], "ready");
    let calls = row("OrderService/SubmitOrder");
    assert!(number(&calls[1]) > 1.0 && number(&calls[2]) > 0.0 && number(&calls[2]) <= number(&calls[3]), "{page}");
    let refused = number(&row("STOCK_INSUFFICIENT_FOR_RESERVATION")[1]);
    assert!(refused > 0.5 && (number(&calls[1]) / refused - 2.0).abs() < 0.5, "{page}");
    // Of the two that are ordered the second one is never there.
    let hot = |goods: &str| {
        page.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).find(|row| row.len() == 4 && row[0] == goods)
    };
    let [good, bad] = ["1", "2"].map(|goods| hot(goods).unwrap_or_else(|| panic!("goods {goods}: {page}")));
    assert_eq!([good[1], good[3], bad[1]], ["0", "0", "0"], "{page}");
    assert!(number(good[2]) > 1.0 && bad[2] == bad[3], "{page}");
    assert_eq!(row("0 ")[..3], ["0", "has", "it"]);

    // Beside one that answers there may be one that does not, and the rest is told all the same.
    let partly = top(&["127.0.0.1:1", admin.address()], &["--once", "--interval", "100ms"]);
    let page = String::from_utf8(partly.stdout).expect("UTF-8");
    assert!(partly.status.code() == Some(5) && page.contains("127.0.0.1:1 does not answer") && page.contains("ready"), "{page}");
    assert_eq!(process.terminate().code(), Some(0));
    let gone = top(&[admin.address()], &["--once"]);
    let said = String::from_utf8_lossy(&gone.stderr);
    assert!(gone.status.code() == Some(5) && said.contains("no process answers at its admin port (--admin): "), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_look_is_a_line_where_nobody_looks_at_a_terminal() {
    let data = TempDir::new().unwrap();
    let (admin, _process, shop) = shop(&data).await;
    let ordering = keep_ordering(shop);
    let arguments = ["top", "--interval", "500ms", "--admin", &format!("http://{}", admin.address())];
    let mut child = command(&arguments).stdout(Stdio::piped()).spawn().expect("the binary runs");
    let lines: Vec<_> =
        BufReader::new(child.stdout.take().expect("piped")).lines().take(2).map(|line| line.expect("UTF-8")).collect();
    drop(ordering);
    for line in &lines {
        let (time, values) = line.split_once(' ').expect("a time");
        humantime::parse_rfc3339(time).expect("a time");
        let value = |name: &str| {
            let value = values.split(' ').find_map(|value| value.strip_prefix(name)?.strip_prefix('='));
            value.and_then(|value| value.parse::<f64>().ok()).unwrap_or_else(|| panic!("{name} in {line}"))
        };
        assert!(value("orders/s") > 1.0 && value("refused/s") > 0.5 && value("p99_ms") > 0.0, "{line}");
        assert_eq!([value("sagas_stuck"), value("processes_down")], [0.0, 0.0]);
    }
    send(child.id(), Signal::SIGINT);
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = child.try_wait().expect("it is a child") {
            break status;
        }
        assert!(Instant::now() < deadline, "it does not end");
        std::thread::sleep(Duration::from_millis(10));
    };
    assert_eq!(status.code(), Some(0));
}

#[test]
fn where_it_cannot_look_is_told() {
    for (flags, status, words) in [
        (&["--admin", "here"][..], 1, "--admin here"),
        (&["--admin", "http://127.0.0.1:1/metrics"], 1, "not the address of a server alone"),
        (&["--interval", "0s"], 2, "from 100ms to an hour"),
        // As the settings of these tests have it.
        (&[], 1, "the settings tell no address of an admin port: say where it is (--admin)"),
    ] {
        let output = top(&[], flags);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(status) && said.contains(words), "{flags:?}: {said}");
    }
}
