//! What is known of a person, and what is secret: where it must not be.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use emshop_proto::v1::goods_service_client::GoodsServiceClient;
use emshop_proto::v1::inventory_service_client::InventoryServiceClient;
use emshop_proto::v1::order_service_client::OrderServiceClient;
use emshop_proto::v1::user_service_client::UserServiceClient;
use emshop_proto::v1::{
    CancelOrderRequest, CreateGoodsRequest, DeleteUserRequest, GetOrderRequest, Goods, Receiver, SetStockRequest, SmsPurpose,
    SubmitOrderRequest, UpdateGoodsRequest,
};
use tempfile::TempDir;
use tonic::transport::Channel;

use crate::accounts::{Person, by, reason, token, under};
use crate::process::{PATIENCE, Process, Starting, command, path};
use crate::shop::{goods, submit};

const MOBILE: &str = "13812345678";
const PASSWORD: &str = "correct horse battery";
/// What an order says of who gets it.
const NAME: &str = "Wilhelmina Quartz";
const PHONE: &str = "13911112222";
const ADDRESS: &str = "Elsewhere 7";
const REASON: &str = "Wilhelmina moves house";

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.flatten().map(|entry| entry.path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Which of the words are on disk, and where.
pub fn found(folders: &[PathBuf], words: &[&str]) -> Vec<String> {
    let has = |bytes: &[u8], word: &str| bytes.windows(word.len()).any(|window| window == word.as_bytes());
    let mut found = Vec::new();
    for file in folders.iter().flat_map(|folder| files(folder)) {
        // One that is gone meanwhile holds nothing.
        let Ok(bytes) = fs::read(&file) else { continue };
        found.extend(words.iter().filter(|word| has(&bytes, word)).map(|word| format!("{word} in {}", file.display())));
    }
    found
}

/// Somebody who has ordered something and thought better of it.
async fn buyer(process: &Process, channel: &Channel, admin: &str) -> (u64, String) {
    let nobody = Person::new(channel.clone(), "");
    let code = nobody.code(process, MOBILE, SmsPurpose::Register).await;
    let registered = nobody.register(MOBILE, PASSWORD, &code, "k").await.expect("registered");
    let (user_id, token) = (registered.user.expect("a user").user_id, registered.token.expect("a token").token);
    let create = CreateGoodsRequest { goods: Some(goods(1)) };
    GoodsServiceClient::new(channel.clone()).create_goods(by(admin, create)).await.expect("an admin may");
    let stock = SetStockRequest { goods_id: 1, on_hand: 10 };
    InventoryServiceClient::new(channel.clone()).set_stock(under("k", by(admin, stock))).await.expect("an admin may");
    let mut orders = OrderServiceClient::new(channel.clone());
    let order = SubmitOrderRequest {
        user_id,
        address: ADDRESS.to_owned(),
        receiver: Some(Receiver { name: NAME.to_owned(), phone: PHONE.to_owned() }),
        ..submit("o", &[(1, 1)])
    };
    orders.submit_order(by(&token, order)).await.expect("one's own");
    let cancel = CancelOrderRequest { order_id: "o".to_owned(), user_id, reason: REASON.to_owned() };
    orders.cancel_order(by(&token, cancel)).await.expect("one's own");
    (user_id, token)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_on_disk_says_who_a_deleted_user_was() {
    let data = TempDir::new().unwrap();
    // A small log leaves little of what is in the state, and its blocks are small.
    let settings = [("EMSHOP__LOG__BYTES_MAX", "16MiB"), ("EMSHOP__ENGINE__REWRITE_AFTER", "1s")];
    let process = Starting::spawn_with(&["--dev", "--data", path(data.path())], &settings).serves();
    let channel = process.channel().await;
    let admin = token(data.path(), 1, "admin");
    let (user_id, own) = buyer(&process, &channel, &admin).await;

    let mut users = UserServiceClient::new(channel.clone());
    let delete = |password: &str| DeleteUserRequest { user_id, password: password.to_owned() };
    let refused = users.delete_user(by(&own, delete("something else"))).await.expect_err("not the password");
    assert_eq!(reason(&refused), "PASSWORD_INCORRECT");
    users.delete_user(by(&own, delete(PASSWORD))).await.expect("it is theirs");
    Person::new(channel.clone(), "").login(MOBILE, PASSWORD).await.expect_err("nobody is there");

    let folders = ["state", "nats"].map(|folder| data.path().join(folder));
    let words = [NAME, PHONE, ADDRESS, REASON, "user-5678", "$argon2id$"];
    let (begun, mut catalogue) = (Instant::now(), GoodsServiceClient::new(channel.clone()));
    for number in 0.. {
        // The shop goes on.
        for part in 0..50 {
            let description = format!("{number} {part} ").repeat(700);
            let goods = Some(Goods { description, ..goods(1) });
            catalogue.update_goods(by(&admin, UpdateGoodsRequest { goods })).await.expect("an admin may");
        }
        let found = found(&folders, &words);
        if found.is_empty() {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{found:#?}");
    }
    let order = GetOrderRequest { order_id: "o".to_owned() };
    let left = OrderServiceClient::new(channel).get_order(by(&admin, order)).await.expect("the books").into_inner();
    let left = left.order.expect("an order");
    assert_eq!((left.user_id, left.address.as_str(), left.lines.len()), (user_id, "", 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_log_lines_or_settings() {
    let data = TempDir::new().unwrap();
    let settings = [("EMSHOP_LOG", "debug,h2=info,hyper=info")];
    let process = Starting::spawn_with(&["--dev", "--data", path(data.path())], &settings).serves();
    let channel = process.channel().await;
    let admin = token(data.path(), 1, "admin");
    let (_, own) = buyer(&process, &channel, &admin).await;
    Person::new(channel.clone(), "").login(MOBILE, "another password").await.expect_err("not the password");
    Person::new(channel.clone(), "").login(MOBILE, PASSWORD).await.expect("the password");
    let lines = process.all_lines();
    let printed = command(&["serve", "--data", path(data.path()), "--print-config"]).output().expect("the binary runs");
    let printed = String::from_utf8(printed.stdout).expect("UTF-8");

    let kept =
        files(data.path()).into_iter().filter(|file| file.extension().is_some_and(|kind| kind == "key" || kind == "password"));
    let kept: Vec<String> = kept.map(|file| fs::read_to_string(file).expect("text").trim().to_owned()).collect();
    assert!(kept.len() >= 2, "keys of tokens and of the cluster");
    let given = [PASSWORD, "another password", admin.as_str(), own.as_str(), "$argon2id$"].map(str::to_owned);
    for secret in given.iter().chain(&kept) {
        let told: Vec<_> = lines.iter().filter(|line| line.contains(secret.as_str())).collect();
        assert!(told.is_empty() && !printed.contains(secret.as_str()), "{secret} is in {told:?}");
    }

    // And what concerns security is told, without the number.
    let security: Vec<_> = lines.iter().filter(|line| line.contains(r#""target":"security""#)).collect();
    for told in ["signed in", "a sign-in is refused"] {
        assert!(security.iter().any(|line| line.contains(told)), "{told}: {security:?}");
    }
    assert!(security.iter().all(|line| !line.contains(MOBILE)), "{security:?}");
}
