//! The command line of the real binary: settings, refusals, exit statuses, and the demo from end to end.

use std::env;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread::JoinHandle;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

const FREE_PORT: &str = "127.0.0.1:0";

/// The binary, without what the environment of the test may set.
fn emshop(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_emshop"));
    for (name, _) in
        env::vars().filter(|(name, _)| name.starts_with("EMSHOP__") || ["EMSHOP_LOG", "EMSHOP_TOKEN"].contains(&name.as_str()))
    {
        command.env_remove(name);
    }
    // One port for all of them would be one too few.
    command.args(arguments).env("EMSHOP__ADMIN__LISTEN", "off");
    command
}

fn run(arguments: &[&str]) -> Output {
    emshop(arguments).output().expect("the binary runs")
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

/// What is printed without where it comes from.
fn values(printed: &str) -> String {
    printed.lines().map(|line| line.split("  # ").next().unwrap_or_default().to_owned() + "\n").collect()
}

fn assert_refused(output: &Output, status: i32, words: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{stderr}");
    for word in words {
        assert!(stderr.contains(word), "{word:?} is missing in: {stderr}");
    }
}

fn settings_file(folder: &TempDir, text: &str) -> String {
    let path = folder.path().join("emshop.yaml");
    fs::write(&path, text).expect("a file in a temporary folder");
    path.to_str().expect("UTF-8").to_owned()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

/// A file that nobody else may read.
fn secret_file(path: &Path, text: &str) {
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

#[test]
fn unknown_settings_are_refused_by_name() {
    let folder = TempDir::new().unwrap();
    for (text, name) in [("lisden: 1", "lisden"), ("nats: {uri: x}", "uri"), ("ingress:\n  comands_max: 5", "comands_max")] {
        let file = settings_file(&folder, text);
        assert_refused(&run(&["serve", "--config", &file, "--print-config"]), 2, &[name]);
    }
    for (variable, name) in [("EMSHOP__LISDEN", "lisden"), ("EMSHOP__NATS__URI", "uri")] {
        let output = emshop(&["serve", "--print-config"]).env(variable, "1").output().unwrap();
        assert_refused(&output, 2, &[name]);
    }
    assert_refused(&run(&["serve", "--lisden", "1"]), 2, &["--lisden"]);
}

#[test]
fn values_that_make_no_sense_are_refused_by_name() {
    let folder = TempDir::new().unwrap();
    let file = settings_file(&folder, "auth: {algorithm: rot13}");
    let other_folder = TempDir::new().unwrap();
    let small_log = settings_file(&other_folder, "log: {bytes_max: 16777215}");
    let wrong: [(&[&str], &[&str]); 14] = [
        (&["--role", "king"], &["king", "ingress"]),
        (&["--listen", "here"], &["listen"]),
        (&["--admin", "here"], &["admin.listen", "nor `off`"]),
        (&["--admin", "0.0.0.0:0"], &["admin.listen", "--insecure"]),
        (&["--logs", "0"], &["cluster.logs"]),
        (&["--nats-sync", "often"], &["often"]),
        (&["--own", "3-1"], &["3-1"]),
        (&["--role", "ingress"], &["--nats"]),
        (&["--role", "engine"], &["--nats"]),
        (&["--role", "ingress", "--nats", "nats://127.0.0.1:1", "--own", "0"], &["own"]),
        (&["--role", "ingress", "--nats", "nats://127.0.0.1:1"], &["auth.key_file", "--key-file"]),
        (&["--auth", "maybe"], &["--auth", "off"]),
        (&["--config", &file], &["auth.algorithm", "rot13"]),
        (&["--config", &small_log], &["log.bytes_max", "16 MiB"]),
    ];
    for (flags, words) in wrong {
        assert_refused(&run(&[&["serve"], flags].concat()), 2, words);
    }
    assert_refused(&run(&["serve", "--config", "/no/such/file"]), 2, &["/no/such/file"]);
    assert_refused(&run(&["inspect"]), 2, &["--data", "--target"]);
    assert_refused(&run(&["inspect", "--data", "/no/such/folder"]), 1, &["/no/such/folder"]);
    let nobody = "http://127.0.0.1:1";
    assert_refused(&run(&["inspect", "--target", nobody]), 1, &[nobody, "cannot be reached", "Nobody listens there"]);
}

#[test]
fn logins_that_make_no_sense_are_refused_by_name() {
    let folder = TempDir::new().unwrap();
    for (nats, words) in [
        ("{url: here, user: shop}", ["nats.user", "nats.password_file"]),
        ("{url: here, password_file: f}", ["nats.user", "nats.password_file"]),
        ("{url: here, tls_cert: f}", ["nats.tls_cert", "nats.tls_key"]),
        ("{url: here, nkey_file: f, credentials_file: f}", ["one login is enough", "nats.nkey_file"]),
        ("{url: 'nats://shop:s3cret@here', nkey_file: f}", ["one login is enough", "nats.url"]),
        ("{nkey_file: f}", ["nats.url", "--nats"]),
        ("{tls_ca: f}", ["nats.url", "--nats"]),
    ] {
        let file = settings_file(&folder, &format!("nats: {nats}"));
        let output = run(&["serve", "--config", &file, "--print-config"]);
        assert_refused(&output, 2, &words);
        assert!(!String::from_utf8_lossy(&output.stderr).contains("s3cret"), "{output:?}");
    }
}

#[test]
fn limits_of_clients_that_make_no_sense_are_refused_by_name() {
    let folder = TempDir::new().unwrap();
    let no_rate = "is no rate such as `100/s`";
    for (text, words) in [
        ("rates: {accounts_per_address: fast}", ["rates.accounts_per_address", no_rate]),
        ("rates: {accounts: 0/s}", ["rates.accounts", no_rate]),
        ("rates: {reads_per_address: -1/s}", ["rates.reads_per_address", no_rate]),
        ("rates: {calls_per_user: 100/d}", ["rates.calls_per_user", no_rate]),
        ("rates: {attempts_per_mobile: 1.5/m}", ["rates.attempts_per_mobile", no_rate]),
        ("rates: {codes: 4294967296/h}", ["rates.codes", no_rate]),
        ("rates: {codes: 100}", ["rates.codes", no_rate]),
        ("rates: {proxies: 10.0.0.0/33}", ["rates.proxies", "10.0.0.0/33"]),
        ("rates: {proxies: 'here,there'}", ["rates.proxies", "here"]),
        ("rates: {code: 1/s}", ["rates", "code"]),
        ("ingress: {connections_max: 0}", ["connections_max", "1 or more"]),
        ("ingress: {connections_max: -1}", ["ingress.connections_max", "-1"]),
        ("ingress: {connections_max: many}", ["ingress.connections_max", "many"]),
        ("ingress: {connections_per_address_max: 0}", ["connections_per_address_max", "1 or more"]),
        ("ingress: {connection_age_max: 999ms}", ["ingress.connection_age_max", "from 1s to a year"]),
        ("ingress: {connection_age_max: 2y}", ["ingress.connection_age_max", "from 1s to a year"]),
        ("ingress: {connection_age_max: never}", ["ingress.connection_age_max", "never"]),
    ] {
        let file = settings_file(&folder, text);
        assert_refused(&run(&["serve", "--config", &file, "--print-config"]), 2, &words);
    }
    for (variable, value, words) in [
        ("EMSHOP__RATES__CODES", "soon", ["rates.codes", no_rate]),
        ("EMSHOP__INGRESS__CONNECTIONS_MAX", "0", ["connections_max", "1 or more"]),
        ("EMSHOP__INGRESS__CONNECTION_AGE_MAX", "0s", ["ingress.connection_age_max", "from 1s to a year"]),
    ] {
        let output = emshop(&["serve", "--print-config"]).env(variable, value).output().unwrap();
        assert_refused(&output, 2, &words);
    }
}

#[test]
fn limits_of_clients_are_printed() {
    let folder = TempDir::new().unwrap();
    let text = "auth: {required: off}\n\
                rates: {accounts_per_address: 5/s, calls_per_user: off, codes: 10/h, proxies: '10.0.0.0/8,192.168.1.7/32'}\n\
                ingress: {connections_max: 300, connections_per_address_max: 20, connection_age_max: 90s}";
    let printed = values(&stdout(
        &emshop(&["serve", "--config", &settings_file(&folder, text), "--print-config"])
            .env("EMSHOP__RATES__ACCOUNTS", "7/m")
            .output()
            .unwrap(),
    ));
    for line in [
        "required: false",
        "accounts_per_address: 5/s",
        "accounts: 7/m",
        "reads_per_address: 2000/s",
        "codes: 10/h",
        "connections_max: 300",
        "connections_per_address_max: 20",
        "connection_age_max: 1m 30s",
    ] {
        assert!(printed.lines().any(|printed| printed.trim() == line), "{line:?} is missing in:\n{printed}");
    }
    for (name, value) in [("calls_per_user", "off"), ("proxies", "10.0.0.0/8,192.168.1.7/32")] {
        let line = printed.lines().find_map(|line| line.trim().strip_prefix(name)).unwrap_or_else(|| panic!("{name}: {printed}"));
        assert_eq!(line.trim_start_matches(':').trim().trim_matches(['"', '\'']), value);
    }
}

#[test]
fn a_webhook_secret_that_is_none_is_refused() {
    let folder = TempDir::new().unwrap();
    let secret = folder.path().join("secret");
    let serve = |payment: &str| {
        let data = folder.path().join("data");
        let file = settings_file(&folder, &format!("data: {}\npayment: {payment}", data.display()));
        run(&["serve", "--listen", FREE_PORT, "--config", &file])
    };
    let with_file = format!("{{webhook_secret_file: {}}}", secret.display());
    assert_refused(&serve(&with_file), 2, &["payment.webhook_secret_file", "cannot be read"]);
    secret_file(&secret, "fifteen bytes..\n\n");
    assert_refused(&serve(&with_file), 2, &["payment.webhook_secret_file", "shorter than 16 bytes"]);
    assert_refused(&serve("{pay_url: 'https://pay.example'}"), 2, &["payment.webhook_secret_file"]);
}

#[test]
fn an_address_with_a_secret_is_not_printed() {
    let folder = TempDir::new().unwrap();
    let serve = |url: &str| {
        let text = format!("verification: {{sms: http, sms_url: '{url}', sms_secret_file: f}}");
        run(&["serve", "--config", &settings_file(&folder, &text), "--print-config"])
    };
    let printed = stdout(&serve("https://sms.example/send?key=s3cret"));
    assert!(printed.contains("https://sms.example/***") && !printed.contains("s3cret"), "{printed}");

    let secret = folder.path().join("secret");
    secret_file(&secret, "a secret of more than 16 bytes");
    let text = format!("verification: {{sms: http, sms_url: 'ftp://sms.example/s3cret', sms_secret_file: {}}}", secret.display());
    let data = folder.path().join("data");
    let refused = run(&["serve", "--config", &settings_file(&folder, &text), "--data", data.to_str().unwrap()]);
    assert_refused(&refused, 2, &["verification.sms_url", "no URL of HTTP"]);
    assert!(!String::from_utf8_lossy(&refused.stderr).contains("s3cret"), "{refused:?}");
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let folder = TempDir::new().unwrap();
    let file = settings_file(
        &folder,
        "listen: 127.0.0.1:1\nrole: engine\nnats: {url: file, sync_interval: 1s}\ncluster: {key_file: k}\nown: 1",
    );
    let flags = ["serve", "--config", &file, "--listen", "127.0.0.1:3", "--print-config"];
    let environment = [("EMSHOP__LISTEN", "127.0.0.1:2"), ("EMSHOP__NATS__URL", "environment"), ("EMSHOP_LOG", "debug")];
    let printed = stdout(&emshop(&flags).envs(environment).output().unwrap());
    for line in [
        "listen: 127.0.0.1:3  # flag",
        "  url: environment  # environment",
        "  sync_interval: 1s  # file",
        "role: engine  # file",
        "own: \"1\"  # file",
        "  log: debug  # environment",
        "  format: auto  # default",
    ] {
        assert!(printed.lines().any(|printed| printed == line), "{line:?} is missing in:\n{printed}");
    }
}

#[test]
fn printed_settings_are_a_settings_file() {
    let folder = TempDir::new().unwrap();
    for flags in [&["serve"][..], &["serve", "--nats", "nats://127.0.0.1:1", "--own", "0,2-3", "--nats-sync", "2m"]] {
        let printed = stdout(&run(&[flags, &["--print-config"]].concat()));
        let file = settings_file(&folder, &printed);
        assert_eq!(values(&stdout(&run(&["serve", "--config", &file, "--print-config"]))), values(&printed));
    }
}

#[test]
fn a_data_folder_is_used_by_one_process_at_a_time() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().to_str().unwrap();
    fs::create_dir(folder.path().join("state")).unwrap();
    let lock = File::create(folder.path().join("lock")).unwrap();
    lock.lock().unwrap();
    fs::write(folder.path().join("lock"), "4711").unwrap();
    for (command, remedy) in [("serve", "another folder (--data)"), ("inspect", "--target")] {
        assert_refused(&run(&[command, "--data", data]), 1, &[data, "in use", "4711", remedy]);
    }
    let backup = run(&["backup", "--data", "/no/such/folder", "--to", "/no/such/archive"]);
    assert_refused(&backup, 1, &["there is no data folder /no/such/folder", "--data"]);
}

#[test]
fn tokens_are_signed_with_the_key_there_is() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().to_str().unwrap();
    let token = |flags: &[&str]| run(&[&["token", "--user", "1", "--role", "super"], flags].concat());
    assert_refused(&token(&["--data", data]), 1, &["auth.key", "emshop serve"]);
    for command in ["rotate", "list"] {
        assert_refused(&run(&["key", command, "--data", data]), 1, &["there is no key in", "auth.key", "emshop serve"]);
    }
    assert_refused(&token(&["--key-file", "/no/such/key"]), 1, &["/no/such/key"]);
    assert_refused(&token(&["--data", data, "--key-file", "key"]), 2, &["--data", "--key-file"]);
    assert_refused(&run(&["token", "--user", "0", "--role", "super"]), 2, &["--user"]);
    assert_refused(&run(&["token", "--user", "1", "--role", "king"]), 2, &["--role", "admin"]);

    let key = folder.path().join("auth.key");
    secret_file(&key, &"ab".repeat(32));
    let signed = stdout(&token(&["--data", data]));
    assert_eq!(signed.trim().split('.').count(), 3, "{signed}");
    for lifetime in ["0s", "25h"] {
        assert_refused(&token(&["--data", data, "--lifetime", lifetime]), 2, &["auth.token_lifetime", "--lifetime", "24h"]);
    }
    let eddsa = settings_file(&folder, "auth: {algorithm: eddsa}");
    let with_eddsa = ["token", "--user", "1", "--role", "super", "--config", &eddsa, "--data", data];
    assert_refused(&run(&with_eddsa), 1, &["auth.key", "auth.algorithm", "PKCS#8"]);

    // A start makes the key that the algorithm takes.
    fs::remove_file(&key).unwrap();
    drop(Server::start_with(&["--data", data, "--config", &eddsa]));
    assert!(fs::read_to_string(&key).unwrap().starts_with("-----BEGIN PRIVATE KEY-----"));
    assert_ne!(stdout(&run(&with_eddsa)), signed);
    assert_refused(&token(&["--data", data]), 1, &["auth.key", "auth.algorithm", "hex"]);
    assert_refused(&run(&["serve", "--data", data, "--listen", FREE_PORT]), 1, &["auth.key", "auth.algorithm", "hex"]);
}

#[test]
fn secrets_that_others_can_read_are_refused() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().to_str().unwrap();
    let key = folder.path().join("auth.key");
    secret_file(&key, &"ab".repeat(32));
    let token = || run(&["token", "--user", "1", "--role", "super", "--data", data]);
    assert!(token().status.success());
    for mode in [0o640, 0o604, 0o660] {
        fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
        assert_refused(&token(), 1, &["auth.key", "others than its owner", "chmod 600"]);
        assert_refused(&run(&["serve", "--listen", FREE_PORT, "--data", data]), 1, &["auth.key", "others than its owner"]);
    }
    let secret = folder.path().join("secret");
    fs::write(&secret, "a secret of more than 16 bytes").unwrap();
    let file = settings_file(&folder, &format!("payment: {{webhook_secret_file: {}}}", secret.display()));
    let output = run(&["serve", "--listen", FREE_PORT, "--data", data, "--config", &file]);
    assert_refused(&output, 2, &["payment.webhook_secret_file", "others than its owner"]);
}

#[test]
fn files_that_make_no_tls_are_refused_by_name() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let make = |name: &str| run(&["dev-certificates", "--to", &path(name)]);
    assert!(make("ours").status.success() && make("others").status.success());
    assert_refused(&make("ours"), 1, &[&path("ours"), "is there already", "--to"]);
    let serve = |cert: &str, key: &str| {
        let files = ["--tls-cert", &path(cert), "--tls-key", &path(key)];
        run(&[&["serve", "--listen", FREE_PORT, "--data", &path("data")], &files[..]].concat())
    };
    let mixed = serve("ours/server.pem", "others/server.key");
    assert_refused(&mixed, 2, &["ours/server.pem", "others/server.key", "cannot be used together"]);
    assert_eq!(String::from_utf8_lossy(&mixed.stderr).matches("KeyMismatch").count(), 1, "{mixed:?}");
    assert_refused(&serve("ours/server.key", "ours/server.key"), 2, &["ours/server.key has no certificate in PEM"]);
    assert!(!Path::new(&path("data")).exists(), "nothing is made for it");
}

#[test]
fn a_start_that_cannot_listen_makes_no_shop() {
    let folder = TempDir::new().unwrap();
    let taken = TcpListener::bind(FREE_PORT).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let refused = run(&["serve", "--listen", &address, "--data", folder.path().to_str().unwrap()]);
    assert_refused(&refused, 1, &["cannot listen on", &address, "--listen"]);
    let made: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(made, ["lock"]);
}

#[test]
fn what_is_for_development_is_warned_of_where_it_is_in_use() {
    let folder = TempDir::new().unwrap();
    let (secret, data) = (folder.path().join("secret"), folder.path().join("data"));
    secret_file(&secret, "a secret of more than 16 bytes");
    let sms = format!("{{sms: http, sms_url: 'http://127.0.0.1:1', sms_secret_file: {}}}", secret.display());
    let file = settings_file(&folder, &format!("verification: {sms}"));
    let flags = ["serve", "--dev", "--listen", FREE_PORT, "--data", data.to_str().unwrap()];
    let warning = |more: &[&str]| {
        let mut process = emshop(&[&flags[..], more].concat()).stderr(Stdio::piped()).spawn().expect("the binary runs");
        let mut lines = BufReader::new(process.stderr.take().expect("piped")).lines().map(|line| line.expect("UTF-8"));
        let said = lines.find(|line| line.contains("for development")).expect("a warning");
        process.kill().expect("it runs");
        process.wait().expect("it ends");
        said
    };
    let [codes, captchas] = ["codes go to the log lines", "machines read captchas"];
    let (all, captchas_alone) = (warning(&[]), warning(&["--config", &file]));
    assert!(all.contains(codes) && all.contains(captchas), "{all}");
    assert!(!captchas_alone.contains(codes) && captchas_alone.contains(captchas), "{captchas_alone}");
}

#[test]
fn data_is_the_users_own_wherever_one_stands() {
    let (home, elsewhere) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let of = |variables: &[(&str, &Path)]| {
        let mut command = emshop(&["serve", "--print-config"]);
        command.env_remove("XDG_DATA_HOME").env("HOME", home.path()).current_dir(elsewhere.path());
        stdout(&command.envs(variables.iter().copied()).output().unwrap())
    };
    let data = |folder: &Path| format!("data: {}  # default\n", folder.display());
    assert!(of(&[]).starts_with(&data(&home.path().join(".local/share/emshop"))));
    assert!(of(&[("XDG_DATA_HOME", elsewhere.path())]).starts_with(&data(&elsewhere.path().join("emshop"))));
}

#[test]
fn shells_and_man_know_the_commands() {
    let folder = TempDir::new().unwrap();
    let script = folder.path().join("emshop.bash");
    fs::write(&script, stdout(&run(&["completions", "bash"]))).unwrap();
    let complete = format!(
        "source {} && COMP_WORDS=(emshop cons) COMP_CWORD=1 && _emshop emshop cons emshop && echo ${{COMPREPLY[@]}}",
        script.display()
    );
    let completed = Command::new("bash").args(["--norc", "-c", &complete]).output().expect("bash runs");
    assert_eq!(stdout(&completed).trim(), "consumer-credentials consume");
    for shell in ["zsh", "fish"] {
        assert!(stdout(&run(&["completions", shell])).contains("consumer-credentials"), "{shell}");
    }
    assert_refused(&run(&["completions", "cmd"]), 2, &["cmd", "bash", "zsh", "fish"]);

    let pages = folder.path().join("new/man1");
    stdout(&run(&["man", pages.to_str().unwrap()]));
    for page in ["emshop.1", "emshop-serve.1", "emshop-consume.1", "emshop-key-rotate.1"] {
        assert!(fs::read_to_string(pages.join(page)).unwrap().contains(".SH DESCRIPTION"), "{page}");
    }
    assert_refused(&run(&["man", "/dev/null"]), 1, &["/dev/null"]);
}

#[test]
fn the_demo_keeps_its_books() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().to_str().unwrap();
    // The second time it finds what the first one left.
    for round in 1..=2 {
        let flags = ["demo", "--once", "--json", "--orders", "60", "--data", data, "--listen", FREE_PORT];
        let printed = stdout(&run(&flags));
        let summary: Value = serde_json::from_str(printed.lines().last().unwrap()).expect("JSON on the last line");
        assert_eq!(summary["invariants"], "ok", "{printed}");
        for (field, count) in [
            ("tour", 16),
            ("orders", 60),
            ("completed", 42),
            ("compensated", 6),
            ("cancelled", 9),
            ("expired", 3),
            ("repeated", 6),
            ("stuck", 0),
        ] {
            assert_eq!(summary[field], count, "{field}\n{printed}");
        }

        let inspection: Value = serde_json::from_str(&stdout(&run(&["inspect", "--json", "--data", data]))).expect("JSON");
        assert_eq!(inspection["invariants"], "ok");
        // Those of the run, and two of the tour.
        assert_eq!(inspection["logs"][0]["orders"], (60 + 2) * round);
        // Levels of stock are told a little after they change.
        assert!(inspection["logs"][0]["events"].as_u64() >= summary["events"].as_u64(), "{inspection}\n{printed}");
    }
}

#[test]
fn a_server_tells_where_it_serves_and_stops_in_order() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("new/data");
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut server = Server::start(&data);
        TcpStream::connect(&server.address).expect("it said that it serves");
        kill(Pid::from_raw(server.process.id().cast_signed()), signal).unwrap();
        assert_eq!(server.process.wait().unwrap().code(), Some(0), "{signal}");
        let said = server.said();
        assert!(said.last().is_some_and(|line| line.contains(r#""message":"stopped""#)), "{said:?}");
        let warnings: Vec<_> = said.into_iter().filter(|line| line.contains(r#""level":"WARN""#)).collect();
        assert_eq!(warnings, Vec::<String>::new(), "after {signal}: it was asked to stop");
    }
    assert!(stdout(&run(&["inspect", "--data", data.to_str().unwrap()])).contains("all invariants hold"));
    for folder in ["", "nats", "state", "state/0", "state/0/staging", "search"] {
        assert_eq!(mode(&data.join(folder)), 0o700, "{folder}");
    }
    assert_eq!(mode(&data.join("auth.key")), 0o600);
}

struct Server {
    process: Child,
    address: String,
    /// Reads on until the process ends.
    said: Option<JoinHandle<Vec<String>>>,
}

impl Server {
    fn start(data: &Path) -> Self {
        Self::start_with(&["--data", data.to_str().unwrap()])
    }

    /// Reads the address from the log line that says so.
    fn start_with(flags: &[&str]) -> Self {
        let mut command = emshop(&[&["serve", "--listen", FREE_PORT], flags].concat());
        let mut process = command.stderr(Stdio::piped()).spawn().expect("the binary runs");
        let mut lines = BufReader::new(process.stderr.take().expect("piped")).lines().map(|line| line.expect("UTF-8"));
        let serving = lines.find(|line| line.contains(r#""message":"serving""#)).expect("it serves");
        // Whatever it writes further on must not fill the pipe.
        let said = Some(std::thread::spawn(move || lines.collect()));
        let fields: Value = serde_json::from_str(&serving).expect("JSON");
        let address = fields["listen"].as_str().expect("an address").to_owned();
        Self { process, address, said }
    }

    /// What it wrote after it said that it serves, once it has ended.
    fn said(&mut self) -> Vec<String> {
        self.said.take().expect("asked once").join().expect("it only reads")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
