//! `emshop orders`, `stock` and `sagas`: operators see what is there, change what they may, and are told why they may not.

pub mod stuck;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Output, Stdio};

use emshop_proto::v1::goods_service_client::GoodsServiceClient;
use emshop_proto::v1::order_service_client::OrderServiceClient;
use emshop_proto::v1::payment_service_client::PaymentServiceClient;
use emshop_proto::v1::{CreateGoodsRequest, SimulatePaymentSuccessRequest};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::accounts::{by, token};
use crate::process::{Process, command, path, secret_file};
use crate::shop::{goods, submit};

/// A shop that asks for tokens, and the command line of whoever is on its machine.
struct Desk {
    data: TempDir,
    process: Process,
}

impl Desk {
    fn open() -> Self {
        let data = TempDir::new().unwrap();
        let process = Process::guarded(&["--data", path(data.path())]);
        Self { data, process }
    }

    fn api(&self) -> String {
        format!("http://{}", self.process.address())
    }

    fn run(&self, arguments: &[&str]) -> Output {
        run(&[arguments, &["--api", &self.api(), "--data", path(self.data.path())]].concat())
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["-o", "json"]].concat());
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    fn table(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    #[track_caller]
    fn refused(&self, arguments: &[&str], status: i32, words: &[&str]) {
        assert_refused(&self.run(arguments), status, words);
    }

    /// Puts goods 1 to 3 on the shelf, ten units each, and orders one of the first one by each of these ids.
    async fn fill(&self, orders: &[&str]) {
        let (channel, admin) = (self.process.channel().await, token(self.data.path(), 1, "admin"));
        for goods_id in 1..=3 {
            let request = CreateGoodsRequest { goods: Some(goods(goods_id)) };
            GoodsServiceClient::new(channel.clone()).create_goods(by(&admin, request)).await.expect("an admin may");
            self.json(&["stock", "set", &goods_id.to_string(), "10", "--yes"]);
        }
        for order in orders {
            let request = by(&admin, submit(order, &[(1, 1)]));
            OrderServiceClient::new(channel.clone()).submit_order(request).await.expect("there is stock");
        }
    }

    async fn pay(&self, order_id: &str) {
        let request = SimulatePaymentSuccessRequest { order_id: order_id.to_owned(), ..Default::default() };
        let admin = token(self.data.path(), 1, "admin");
        let mut payments = PaymentServiceClient::new(self.process.channel().await);
        payments.simulate_payment_success(by(&admin, request)).await.expect("it is to be paid");
    }
}

fn run(arguments: &[&str]) -> Output {
    command(arguments).stdin(Stdio::null()).output().expect("the binary runs")
}

#[track_caller]
fn assert_refused(output: &Output, status: i32, words: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is missing in: {said}");
    }
    assert!(!said.contains("Status {") && !said.contains("MetadataMap"), "no debug print: {said}");
}

fn ids(listed: &Value, list: &str, id: &str) -> Vec<String> {
    let entries = listed[list].as_array().expect("a list").iter();
    entries.map(|entry| entry[id].as_str().expect("an id").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_is_looked_up_and_changed_once_under_a_key() {
    let desk = Desk::open();
    desk.fill(&[]).await;
    let set = ["stock", "set", "1", "12", "--yes", "--key", "ticket-1"];
    let first = desk.json(&set);
    assert_eq!((&first["idempotency_key"], &first["repeated"]), (&json!("ticket-1"), &json!(false)));
    assert_eq!([&first["stock"]["on_hand"], &first["stock"]["available"]], ["12", "12"]);
    assert_eq!(desk.json(&set)["repeated"], json!(true));
    desk.refused(&["stock", "set", "1", "13", "--yes", "--key", "ticket-1"], 4, &["IDEMPOTENCY_KEY_REUSED: The same key"]);

    let adjusted = desk.run(&["stock", "adjust", "1", "-3", "--yes"]);
    let (shown, said) = (String::from_utf8_lossy(&adjusted.stdout), String::from_utf8_lossy(&adjusted.stderr));
    assert!(adjusted.status.success() && said.starts_with("idempotency key: cli-"), "{said}");
    assert!(shown.lines().last().is_some_and(|row| row.split_whitespace().take(3).eq(["1", "9", "9"])), "{shown}");
    desk.refused(&["stock", "adjust", "1", "-100", "--yes"], 4, &["error: STOCK_INSUFFICIENT: Not enough stock"]);
    desk.refused(&["stock", "adjust", "1", "0", "--yes"], 4, &["VALIDATION_FAILED", "(delta "]);

    assert_eq!(ids(&desk.json(&["stock", "low"]), "stocks", "goods_id"), [""; 0]);
    desk.json(&["stock", "set-threshold", "1", "9", "--yes"]);
    assert_eq!(ids(&desk.json(&["stock", "low"]), "stocks", "goods_id"), ["1"]);
    assert_eq!(desk.json(&["stock", "get", "1"])["stocks"][0]["low_threshold"], "9");

    let all = desk.json(&["stock", "list"]);
    assert_eq!(ids(&all, "stocks", "goods_id"), ["1", "2", "3"]);
    let some = desk.json(&["stock", "list", "--limit", "2"]);
    assert_eq!(ids(&some, "stocks", "goods_id"), ["1", "2"]);
    let rest = desk.json(&["stock", "list", "--page", some["next_page_token"].as_str().expect("a token")]);
    assert_eq!((ids(&rest, "stocks", "goods_id"), &rest["next_page_token"]), (vec!["3".to_owned()], &json!("")));
    let cut = desk.run(&["stock", "list", "--limit", "2"]);
    assert!(String::from_utf8_lossy(&cut.stderr).contains("there are more: --page "), "{cut:?}");

    let changes = desk.json(&["stock", "history", "1"]);
    let causes: Vec<_> = changes["changes"].as_array().expect("changes").iter().map(|it| (&it["cause"], &it["delta"])).collect();
    let (adjust, set) = (json!("STOCK_CAUSE_ADJUST"), json!("STOCK_CAUSE_SET"));
    assert_eq!(causes, [(&adjust, &json!("-3")), (&set, &json!("2")), (&set, &json!("10"))]);
    let table = desk.table(&["stock", "history", "1"]);
    let rows: Vec<Vec<_>> = table.lines().map(|row| row.split_whitespace().skip(1).take(3).collect()).collect();
    assert!(rows.contains(&vec!["adjust", "-3", "9"]), "{table}");

    // What is known is told all the same.
    let partly = desk.run(&["stock", "get", "9", "2", "8", "-o", "json"]);
    assert_refused(&partly, 4, &["INVENTORY_NOT_FOUND: No stock entry for this SKU (9, 8)"]);
    let known: Value = serde_json::from_slice(&partly.stdout).expect("JSON");
    assert_eq!(ids(&known, "stocks", "goods_id"), ["2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_found_and_shown_in_every_form() {
    let desk = Desk::open();
    desk.fill(&["o1", "o2", "o3"]).await;
    let order = desk.json(&["orders", "get", "o1"]);
    assert_eq!([&order["order_id"], &order["user_id"], &order["status"]], ["o1", "7", "ORDER_STATUS_PENDING"]);
    assert_eq!(order["total"], json!({ "amount_minor": "101", "currency": "CNY" }));
    let yaml = desk.run(&["orders", "get", "o1", "-o", "yaml"]);
    let yaml: Value = serde_saphyr::from_str(&String::from_utf8(yaml.stdout).expect("UTF-8")).expect("YAML");
    assert_eq!(yaml, order);
    let table = desk.table(&["orders", "get", "o1"]);
    assert!(
        ["status     pending", "1.01 CNY", "goods 1", "submit order, completed"].iter().all(|it| table.contains(it)),
        "{table}"
    );

    let listed = |flags: &[&str]| desk.json(&[&["orders", "list", "--user", "7"], flags].concat());
    assert_eq!(ids(&listed(&[]), "orders", "order_id"), ["o3", "o2", "o1"]);
    let page = listed(&["--limit", "2"]);
    assert_eq!(ids(&page, "orders", "order_id"), ["o3", "o2"]);
    let rest = listed(&["--page", page["next_page_token"].as_str().expect("a token")]);
    assert_eq!(ids(&rest, "orders", "order_id"), ["o1"]);
    assert_eq!(ids(&desk.json(&["orders", "list", "--user", "8"]), "orders", "order_id"), [""; 0]);
    desk.pay("o2").await;
    assert_eq!(ids(&listed(&["--status", "paid"]), "orders", "order_id"), ["o2"]);
    assert_eq!(ids(&listed(&["--status", "paid", "--status", "pending"]), "orders", "order_id").len(), 3);
    assert_eq!(ids(&listed(&["--from", "1h"]), "orders", "order_id").len(), 3);
    assert_eq!(ids(&listed(&["--before", "1h"]), "orders", "order_id").len(), 0);
    let created = order["created_at_ms"].as_str().expect("a number").parse().expect("milliseconds");
    let created = humantime::format_rfc3339_millis(std::time::UNIX_EPOCH + std::time::Duration::from_millis(created)).to_string();
    assert_eq!(ids(&listed(&["--before", &created]), "orders", "order_id"), [""; 0]);
    assert!(ids(&listed(&["--from", &created]), "orders", "order_id").contains(&"o1".to_owned()));

    // Nothing happens to orders for a second before they are listed as waiting.
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    let waiting = desk.json(&["orders", "waiting", "--for", "payment", "--longer-than", "1s"]);
    assert_eq!(ids(&waiting, "orders", "order_id"), ["o1", "o3"]);
    assert_eq!(ids(&desk.json(&["orders", "waiting"]), "orders", "order_id"), [""; 0]);
    assert_eq!(ids(&desk.json(&["sagas", "list"]), "orders", "order_id"), [""; 0]);
    let saga = desk.json(&["sagas", "get", "o2"]);
    assert_eq!((&saga["saga"], &saga["saga_status"]), (&json!("SAGA_KIND_PAYMENT_SUCCESS"), &json!("SAGA_STATUS_COMPLETED")));
    assert_eq!(saga["timeline"], desk.json(&["orders", "history", "o2"])["timeline"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_repaired_and_the_shop_notes_by_whom_and_why() {
    let desk = Desk::open();
    desk.fill(&["o1", "o2"]).await;
    let cancelled = desk.json(&["orders", "cancel", "o1", "--reason", "as the customer asked", "--as", "5", "--yes"]);
    assert_eq!(cancelled["order"]["status"], "ORDER_STATUS_CANCELLED");
    let history = desk.json(&["orders", "history", "o1"]);
    let last = history["history"].as_array().and_then(|changes| changes.last()).expect("changes").clone();
    assert_eq!((&last["to"], &last["reason"]), (&json!("ORDER_STATUS_CANCELLED"), &json!("as the customer asked")));
    assert_eq!((&last["operator"]["user_id"], &last["operator"]["role"]), (&json!("5"), &json!("ROLE_ADMIN")));
    let table = desk.table(&["orders", "history", "o1"]);
    assert!(
        ["pending → cancelled", "admin 5", "as the customer asked", "Order/CreateOrder"].iter().all(|it| table.contains(it)),
        "{table}"
    );

    desk.pay("o2").await;
    let part = ["orders", "refund", "o2", "--amount-minor", "40", "--reason", "a scratch", "--yes", "--key", "k"];
    let refunded = desk.json(&part);
    assert_eq!(refunded["payment"]["refunded"], json!({ "amount_minor": "40", "currency": "CNY" }));
    assert_eq!((&desk.json(&part)["repeated"], &refunded["repeated"]), (&json!(true), &json!(false)));
    desk.refused(&["orders", "refund", "o2", "--amount-minor", "62", "--reason", "r", "--yes"], 4, &["PAYMENT_AMOUNT_INVALID"]);
    assert_eq!(
        desk.json(&["orders", "refund", "o2", "--reason", "all", "--yes"])["payment"]["status"],
        "PAYMENT_STATUS_REFUNDED"
    );
    assert_eq!(desk.json(&["orders", "get", "o2"])["status"], "ORDER_STATUS_REFUNDED");

    for refused in [
        &["orders", "cancel", "o2", "--reason", "r", "--yes"][..],
        &["orders", "resolve-return", "o2", "accept", "--reason", "r", "--yes"],
        &["sagas", "retry", "o2", "--reason", "r", "--yes"],
        &["sagas", "write-off", "o2", "--version", "1", "--reason", "r", "--yes"],
    ] {
        desk.refused(refused, 4, &["error: ORDER_STATUS_INVALID: The order's status does not allow this"]);
    }
    for missing in [&["orders", "get", "none"][..], &["orders", "history", "none"], &["sagas", "get", "none"]] {
        desk.refused(missing, 4, &["error: ORDER_NOT_FOUND: Order not found"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_asked_does_not_agree() {
    let desk = Desk::open();
    desk.fill(&["o1"]).await;
    desk.refused(&["orders", "cancel", "o1", "--reason", "r"], 2, &["no terminal", "--yes"]);
    desk.refused(&["stock", "set", "1", "3"], 2, &["--yes"]);
    assert_eq!(desk.json(&["orders", "get", "o1"])["status"], "ORDER_STATUS_PENDING");

    // On a terminal, which `script` of util-linux makes.
    let at_terminal = |answer: &str| {
        let (api, data) = (desk.api(), path(desk.data.path()));
        let typed = format!("{} orders cancel o1 --reason r --api {api} --data {data}", env!("CARGO_BIN_EXE_emshop"));
        let script = format!("printf '{answer}\\n' | script --quiet --return --command '{typed}' /dev/null");
        let output = std::process::Command::new("sh").args(["-c", &script]).output().expect("a shell");
        (output.status.code(), String::from_utf8(output.stdout).expect("UTF-8"))
    };
    let (status, said) = at_terminal("n");
    assert!(said.contains("Cancel order o1 of user 7, which is pending (1.01 CNY)? [y/N]"), "{said}");
    assert!(status == Some(1) && said.contains("nothing was done"), "{status:?} {said}");
    assert_eq!(desk.json(&["orders", "get", "o1"])["status"], "ORDER_STATUS_PENDING");
    let (status, said) = at_terminal("y");
    assert!(status == Some(0) && said.contains("idempotency key: cli-"), "{status:?} {said}");
    assert_eq!(desk.json(&["orders", "get", "o1"])["status"], "ORDER_STATUS_CANCELLED");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_is_told_what_is_wrong() {
    let desk = Desk::open();
    desk.fill(&["o1"]).await;
    let (api, folder) = (desk.api(), TempDir::new().unwrap());
    let get = ["orders", "get", "o1", "--api", &api];
    let elsewhere = format!("EMSHOP__DATA={}", path(folder.path()));
    let with = |variables: &[&str], arguments: &[&str]| {
        let mut command = command(arguments);
        command.envs(variables.iter().filter_map(|variable| variable.split_once('='))).stdin(Stdio::null());
        command.output().expect("the binary runs")
    };
    assert_refused(&with(&[&elsewhere], &get), 4, &["AUTH_HEADER_MISSING", "--token-file, EMSHOP_TOKEN", "--data"]);
    assert_refused(&with(&[&elsewhere, "EMSHOP_TOKEN=nonsense"], &get), 4, &["TOKEN_INVALID: The token is not valid"]);
    let support = format!("EMSHOP_TOKEN={}", token(desk.data.path(), 3, "support"));
    assert!(with(&[&elsewhere, &support], &get).status.success());
    let refund = ["orders", "refund", "o1", "--reason", "r", "--yes", "--api", &api];
    assert_refused(&with(&[&support], &refund), 4, &["PERMISSION_DENIED: Permission denied"]);
    assert_refused(&with(&[&elsewhere], &[&get[..], &["--data", path(folder.path())]].concat()), 1, &["there is no key in"]);

    let file = folder.path().join("token");
    secret_file(&file, &format!("{}\n", token(desk.data.path(), 3, "support")));
    let with_file = [&get[..], &["--token-file", path(&file)]].concat();
    assert!(run(&with_file).status.success());
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    assert_refused(&run(&with_file), 1, &["--token-file", "others than its owner"]);
    assert_refused(&run(&[&with_file[..], &["--data", "d"]].concat()), 2, &["--token-file", "--data"]);

    assert_refused(
        &run(&["orders", "get", "o1", "--api", "http://127.0.0.1:1"]),
        5,
        &["cannot be reached", "Nobody listens there"],
    );
    assert_refused(&with(&["EMSHOP__LISTEN=127.0.0.1:0"], &["stock", "list"]), 1, &["--api"]);
    assert_refused(&run(&["orders", "list"]), 2, &["--user"]);
    assert_refused(&run(&["orders", "list", "--user", "7", "--status", "eaten"]), 2, &["eaten", "pending", "returning"]);
    assert_refused(&run(&["orders", "list", "--user", "7", "--from", "soon"]), 2, &["2026-11-27T08:00:00Z", "2h"]);
    assert_refused(&run(&["orders", "waiting", "--for", "godot"]), 2, &["godot", "another-log", "operator"]);
    assert_refused(&run(&["stock", "set", "1", "2", "--key", "two words"]), 2, &["--key", "visible ASCII"]);
    assert_refused(&run(&["orders", "cancel", "o1"]), 2, &["--reason"]);
    assert_refused(&run(&["sagas", "write-off", "o1", "--reason", "r"]), 2, &["--version"]);
    desk.refused(&["orders", "list", "--user", "7", "--page", "nonsense"], 4, &["VALIDATION_FAILED", "(page_token "]);
}

/// With the settings of the server there is nothing to say but what is asked.
#[tokio::test(flavor = "multi_thread")]
async fn the_settings_of_a_server_lead_to_it() {
    let data = TempDir::new().unwrap();
    let made = path(data.path()).to_owned() + "/tls";
    assert!(run(&["dev-certificates", "--to", &made]).status.success());
    let (cert, key, ca) = (format!("{made}/server.pem"), format!("{made}/server.key"), format!("{made}/ca.pem"));
    let folder = data.path().join("shop");
    let process = Process::guarded(&["--data", path(&folder), "--tls-cert", &cert, "--tls-key", &key]);
    let settings = [("EMSHOP__LISTEN", process.address()), ("EMSHOP__DATA", path(&folder)), ("EMSHOP__TLS__CERT", &cert)];
    let asked = |flags: &[&str]| {
        let mut command = command(&[&["stock", "list"], flags].concat());
        command.envs(settings).env("EMSHOP__TLS__KEY", &key).output().expect("the binary runs")
    };
    let listed = asked(&["--tls-ca", &ca]);
    assert!(listed.status.success() && String::from_utf8_lossy(&listed.stdout).contains("on hand"), "{listed:?}");
    assert_refused(&asked(&[]), 5, &["https://127.0.0.1:", "cannot be reached", "--tls-ca"]);
    assert_eq!(process.terminate().code(), Some(0));
}
