//! A shop is backed up while it sells, restored elsewhere, and repaired when there is no backup.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use emshop_log::jetstream::{NatsServer, ServerOptions, SyncMode, User};
use tempfile::TempDir;

use crate::model::Model;
use crate::process::{Process, command, nats_as, path, shared_key};
use crate::shop::Shop;

const MOMENT: Duration = Duration::from_millis(1_000);

fn engine(own: &str, data: &Path) -> Process {
    let (nats, data) = (nats_as(data, User::Engine), data.join(own));
    Process::serve(&["--role", "engine", "--logs", "2", "--own", own, "--nats", &nats, "--data", path(&data)])
}

/// What a command of the binary says; it has to do what it was told.
pub fn done(arguments: &[&str]) -> String {
    let output = command(arguments).output().expect("it runs");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn refused(arguments: &[&str]) -> String {
    let output = command(arguments).output().expect("it runs");
    assert!(!output.status.success(), "{arguments:?} is done");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_load_over_two_logs_becomes_the_shop_again() {
    let data = TempDir::new().unwrap();
    let options = ServerOptions { data_dir: data.path().join("nats"), sync: SyncMode::Always };
    let nats = NatsServer::start(options).await.expect("nats-server starts");
    let (first, second) = (engine("0", data.path()), engine("1", data.path()));
    let index = data.path().join("ingress");
    let ingress = Process::serve(&[
        "--role",
        "ingress",
        "--logs",
        "2",
        "--nats",
        &nats_as(data.path(), User::Ingress),
        "--data",
        path(&index),
    ]);
    let shop = Shop::new(ingress.channel().await);
    let mut model = Model::open(&shop).await;
    let load = model.load(&shop);
    tokio::time::sleep(MOMENT).await;
    model.end(load).await;
    let before = model.orders();

    // What is sold from here on is in the backup or not; what was sold before is.
    let load = model.load(&shop);
    let (own, other, to) = (data.path().join("0"), data.path().join("1"), data.path().join("backup"));
    let operator = nats_as(data.path(), User::Operator);
    let without_a_log = data.path().join("half");
    let refusal = refused(&[
        "backup",
        "--cluster-key-file",
        path(shared_key()),
        "--nats",
        &operator,
        "--data",
        path(&own),
        "--to",
        path(&without_a_log),
    ]);
    assert!(refusal.contains("no data folder with a state of log 1"), "{refusal}");
    tokio::time::sleep(MOMENT).await;
    let backup = ["backup", "--nats", &operator, "--data", path(&own), "--data", path(&other), "--to", path(&to)];
    let refusal = refused(&backup);
    assert!(refusal.contains("no data folder has the key of the cluster"), "{refusal}");
    let taken = done(&[&backup[..], &["--cluster-key-file", path(shared_key())]].concat());
    assert!(taken.contains("is a backup of the shop"), "{taken}");
    tokio::time::sleep(MOMENT).await;
    model.end(load).await;
    for process in [ingress, first, second] {
        process.kill();
    }
    nats.stop().await;
    refused_without_its_server(&own, &data.path().join("without"));

    let restored = data.path().join("restored");
    let told = done(&["restore", "--from", path(&to), "--data", path(&restored)]);
    assert!(told.contains("has the shop as it was at"), "{told}");
    let refusal = refused(&["restore", "--from", path(&to), "--data", path(&restored)]);
    assert!(refusal.contains("has data already"), "{refusal}");
    let process = Process::all(&restored);
    let shop = Shop::new(process.channel().await);
    model.forget_after(before);
    model.check_orders(&shop).await;
    // It goes on as a shop does.
    let load = model.load(&shop);
    tokio::time::sleep(MOMENT).await;
    model.end(load).await;
    model.check_orders(&shop).await;
    assert_eq!(process.terminate().code(), Some(0));
}

/// The logs are safe on a server of one's own: nothing may take an empty one for it, nor what that lacks for lost.
fn refused_without_its_server(own: &Path, to: &Path) {
    let noted = fs::read_to_string(own.join("cluster")).expect("noted at the first start");
    assert!(noted.contains("\nnats://127.0.0.1:") && !noted.contains('@'), "{noted}");
    let (data, key) = (["--data", path(own)], ["--cluster-key-file", path(shared_key())]);
    for what in [
        &["backup", "--to", path(to)][..],
        &["repair", "--to", path(to)],
        &["void", "--log", "0", "--sequence", "1", "--reason", "none"],
        &["serve", "--listen", "127.0.0.1:0", "--auth", "off"],
    ] {
        let refusal = refused(&[what, &data, &key].concat());
        assert!(refusal.contains("are on a NATS server of your own, at nats://127.0.0.1:"), "{what:?}: {refusal}");
    }
    let refusal = refused(&[&["consumer-credentials", "--name", "printer"][..], &data].concat());
    assert!(refusal.contains("name it (--nats, nats.url)"), "{refusal}");
    assert!(!own.join("nats").exists() && !to.exists(), "nothing was made");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_archive_is_refused() {
    let data = TempDir::new().unwrap();
    let (shop_data, to) = (data.path().join("shop"), data.path().join("backup"));
    let process = Process::all(&shop_data);
    let shop = Shop::new(process.channel().await);
    let mut model = Model::open(&shop).await;
    let load = model.load(&shop);
    tokio::time::sleep(MOMENT).await;
    model.end(load).await;
    done(&["backup", "--data", path(&shop_data), "--to", path(&to)]);
    assert_eq!(process.terminate().code(), Some(0));
    for file in fs::read_dir(&to).unwrap() {
        let (name, mode) = file.map(|file| (file.file_name(), file.metadata().unwrap().permissions().mode())).unwrap();
        assert_eq!(mode & 0o777, 0o600, "{name:?} has hashes of passwords in it, or says where they are");
    }
    let mut bytes = fs::read(to.join("state-0")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(to.join("state-0"), bytes).unwrap();
    let restored = data.path().join("restored");
    let refusal = refused(&["restore", "--from", path(&to), "--data", path(&restored)]);
    assert!(refusal.contains("state-0 of the archive is not as it was written"), "{refusal}");
    assert!(!restored.exists(), "nothing was made");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_whose_streams_are_lost_goes_on_from_its_state() {
    let data = TempDir::new().unwrap();
    let (shop_data, to, restored) = (data.path().join("shop"), data.path().join("left"), data.path().join("restored"));
    let process = Process::all(&shop_data);
    let shop = Shop::new(process.channel().await);
    let mut model = Model::open(&shop).await;
    let load = model.load(&shop);
    tokio::time::sleep(MOMENT).await;
    model.end(load).await;
    let refusal = refused(&["repair", "--data", path(&shop_data), "--to", path(&to)]);
    assert!(refusal.contains("stop every engine"), "{refusal}");
    assert!(!to.exists(), "nothing was made");
    assert_eq!(process.terminate().code(), Some(0));
    fs::remove_dir_all(shop_data.join("nats")).unwrap();

    let refusal = refused(&["backup", "--data", path(&shop_data), "--to", path(&to)]);
    assert!(refusal.contains("but has no nats-server") && !to.exists(), "{refusal}");
    let told = done(&["repair", "--data", path(&shop_data), "--to", path(&to)]);
    assert!(told.contains("log 0 is gone") && told.contains("events order.submitted of log 0 after number 0"), "{told}");
    assert!(!shop_data.join("nats").exists(), "the folder is as it was found");
    done(&["restore", "--from", path(&to), "--data", path(&restored)]);
    let process = Process::all(&restored);
    let shop = Shop::new(process.channel().await);
    model.check(&shop).await;
    let load = model.load(&shop);
    tokio::time::sleep(MOMENT).await;
    model.end(load).await;
    model.check(&shop).await;
    assert_eq!(process.terminate().code(), Some(0));
}
