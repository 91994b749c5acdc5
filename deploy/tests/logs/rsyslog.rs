//! A real rsyslogd with `deploy/logs/rsyslog.conf`: each line arrives once, field by field, wherever it came from and whoever was away.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use emshop_deploy::program;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::elasticsearch::{Elasticsearch, WRONG};
use crate::fields::{document, mapping, read};

const PROGRAM: &str = "/usr/sbin/rsyslogd";
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);
/// For so long nobody takes the lines.
const AWAY: Duration = Duration::from_secs(2);

/// As the documentation has a line of a call, but for the ends of lines.
const CALL: &str = r#"{"timestamp":"2026-11-27T16:39:51.631775Z","level":"INFO","message":"call",
"target":"access","event":"rpc","method":"OrderService/SubmitOrder","code":"OK","seconds":0.00125,"peer":"127.0.0.1:4711","user":7,
"role":"user","trace_id":"0af7651916cd43dd8448eb211c80319c","span_id":"b7ad6b7169203331"}"#;

fn wait(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what} does not come about");
        sleep(POLL);
    }
}

fn terminate(mut child: Child) {
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).expect("it runs");
    let status = child.wait().expect("it ends");
    assert!(status.success(), "{status}");
}

/// What a shop says from its start to its end.
fn run_a_shop(folder: &Path, lines: &Path) {
    let data = folder.join("data");
    let shop = Command::new(program("emshop"))
        .args(["serve", "--auth", "off", "--admin", "off", "--listen", "127.0.0.1:0", "--data"])
        .arg(&data)
        .env("EMSHOP__INGRESS__LEAVE_DELAY", "0s")
        .env_remove("EMSHOP_LOG")
        .stderr(File::create(lines).expect("a file"))
        .stdout(Stdio::null())
        .spawn()
        .expect("emshop is there");
    wait("the shop", || fs::read_to_string(lines).expect("a file").contains(r#""message":"serving""#));
    terminate(shop);
}

/// A rsyslogd that reads our configuration as Debian's does those of its folder, with the paths of the test in it.
struct Rsyslog {
    child: Child,
    folder: PathBuf,
}

impl Rsyslog {
    /// `None` where it is not installed.
    fn start(folder: &Path, elasticsearch: SocketAddr) -> Option<Self> {
        if !Path::new(PROGRAM).exists() {
            eprintln!("there is no rsyslogd: `scripts/tools tests` installs it");
            return None;
        }
        let mut ours = read("deploy/logs/rsyslog.conf");
        let here = folder.display();
        for (theirs, test) in [
            ("/var/spool/rsyslog", format!("{here}/spool")),
            ("/var/log/emshop", format!("{here}/lines")),
            (r#"serverport="9200""#, format!(r#"serverport="{}""#, elasticsearch.port())),
        ] {
            assert!(ours.contains(theirs), "{theirs} is not in it any more");
            ours = ours.replace(theirs, &test);
        }
        fs::create_dir(folder.join("spool")).expect("a folder");
        let socket =
            format!("module(load=\"imuxsock\" SysSock.Use=\"off\")\ninput(type=\"imuxsock\" Socket=\"{here}/socket\")\n");
        fs::write(folder.join("emshop.conf"), ours).expect("a file");
        fs::write(folder.join("rsyslog.conf"), format!("{socket}include(file=\"{here}/emshop.conf\")\n")).expect("a file");
        let mut rsyslogd = Command::new(PROGRAM);
        rsyslogd.arg("-n").arg("-f").arg(folder.join("rsyslog.conf")).arg("-i").arg(folder.join("pid"));
        let child = rsyslogd.stderr(File::create(folder.join("said")).expect("a file")).spawn().expect("it is there");
        Some(Self { child, folder: folder.to_owned() })
    }

    /// As the journal hands on what a service says.
    fn tell(&self, line: &str) {
        let socket = UnixDatagram::unbound().expect("a socket");
        wait("the socket", || socket.connect(self.folder.join("socket")).is_ok());
        socket.send(format!("<14>Nov 27 16:00:00 emshop[7]: {line}").as_bytes()).expect("it is taken");
    }
}

impl Drop for Rsyslog {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The document of a line, which may be none of emshop's.
fn of_line(line: &str) -> Value {
    let fields = serde_json::from_str::<Value>(line).ok().filter(Value::is_object);
    fields.map_or_else(|| json!({"message": line}), |fields| document(&fields))
}

/// Takes away what the shipper knows of the machine, and the time of what has none itself.
fn stripped(mut document: Value) -> Value {
    let fields = document.as_object_mut().expect("an object");
    assert_eq!(fields.remove("service"), Some(json!({"name": "emshop"})));
    assert!(fields.remove("host").is_some_and(|host| host["name"].is_string()));
    if let Some(log) = fields.get_mut("log").and_then(Value::as_object_mut) {
        log.remove("file");
        if log.is_empty() {
            fields.remove("log");
        }
    }
    // The time when it came.
    if !fields.contains_key("emshop") || fields["emshop"]["without"] == "a time" {
        fields.remove("@timestamp");
    }
    document
}

fn assert_mapped(value: &Value, name: &str) {
    match value.as_object() {
        Some(fields) => fields.iter().for_each(|(part, value)| {
            assert_mapped(value, &if name.is_empty() { part.clone() } else { format!("{name}.{part}") })
        }),
        None => assert!(name.starts_with("emshop.") || mapping().contains_key(name), "{name} is not in the mapping"),
    }
}

#[test]
fn each_line_arrives_once_field_by_field() {
    let folder = TempDir::new().expect("a folder");
    let folder = folder.path();
    let file = folder.join("lines/emshop.log");
    fs::create_dir(folder.join("lines")).expect("a folder");
    run_a_shop(folder, &file);
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let Some(rsyslog) = Rsyslog::start(folder, free) else { return };

    // Of libraries that panic or print, of a line that was cut off, and longer than lines of syslog usually are.
    let long =
        json!({"timestamp": "2026-11-27T16:39:52Z", "level": "WARN", "message": "long", "cause": "x".repeat(20_000)}).to_string();
    let strange = [
        "thread 'x' panicked: it's \"that\"\tnow",
        r#"{"timestamp":"2026-"#,
        "[1]",
        r#"{"without":"a time"}"#,
        "fünf 单 ✓",
        &long,
        &CALL.replace('\n', ""),
    ];
    let append = |line: &str| {
        let mut file = OpenOptions::new().append(true).open(&file).expect("a file");
        writeln!(file, "{line}").expect("it is written");
    };
    strange.into_iter().for_each(append);
    sleep(AWAY);
    let elasticsearch = Elasticsearch::default();
    let arrived = |count: usize| wait(&format!("the arrival of {count} lines"), || elasticsearch.documents().len() >= count);
    let server = elasticsearch.listen(free);
    let mut lines: Vec<String> = fs::read_to_string(&file).expect("a file").lines().map(str::to_owned).collect();
    assert!(lines.len() > strange.len() + 4, "the shop has said something: {lines:#?}");
    arrived(lines.len());

    // It goes away in the middle, and lines come meanwhile, those of the journal as well.
    drop(server);
    let meanwhile: Vec<_> = (0..200)
        .map(|number| json!({"timestamp": "2026-11-27T17:00:00Z", "level": "INFO", "message": "meanwhile", "number": number}))
        .collect();
    meanwhile.iter().for_each(|line| append(&line.to_string()));
    append(&json!({"timestamp": "2026-11-27T17:00:01Z", "level": "ERROR", "message": WRONG}).to_string());
    let told =
        json!({"timestamp": "2026-11-27T17:00:02Z", "level": "ERROR", "message": "told", "tls": false, "logs": 2}).to_string();
    rsyslog.tell(&told);
    rsyslog.tell("said by a library");
    sleep(AWAY);
    let server = elasticsearch.listen(free);
    lines.extend(meanwhile.iter().map(Value::to_string).chain([told, "said by a library".to_owned()]));
    arrived(lines.len());
    let rejected = folder.join("spool/emshop-rejected.json");
    wait("what is kept of a wrong line", || fs::read_to_string(&rejected).is_ok_and(|text| text.contains(WRONG)));
    drop((server, rsyslog));

    let sorted = |documents: Vec<Value>| {
        let mut texts: Vec<_> = documents.iter().map(Value::to_string).collect();
        texts.sort();
        texts
    };
    let documents = elasticsearch.documents();
    documents.iter().for_each(|document| assert_mapped(document, ""));
    let expected = sorted(lines.iter().map(|line| of_line(line)).collect());
    assert_eq!(sorted(documents.into_iter().map(stripped).collect()), expected);
    let template: Value = serde_json::from_str(&read("deploy/logs/index-template.json")).expect("JSON");
    let pattern = template["index_patterns"][0].as_str().expect("a pattern").trim_end_matches('*');
    assert!(elasticsearch.index().is_some_and(|index| index.starts_with(pattern)), "they go where the template is for");
    let kept = fs::read_to_string(&rejected).expect("a file");
    assert!(kept.contains("document_parsing_exception") && kept.lines().count() == 1, "{kept}");
}
