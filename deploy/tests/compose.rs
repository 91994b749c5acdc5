//! The shop of `deploy/compose`: its file is one that Compose takes, what it names is there, and emshop and its company take their
//! settings.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use emshop_deploy::{program, repository};
use serde_json::Value;
use tempfile::TempDir;

const ADMIN: &str = "0.0.0.0:50052";
const VERSION: &str = env!("CARGO_PKG_VERSION");

fn folder() -> PathBuf {
    repository().join("deploy/compose")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&read(&folder().join(path))).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn compose() -> Value {
    yaml("compose.yaml")
}

fn object<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = (&'a str, &'a Value)> {
    value[key].as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

fn texts<'a>(value: &'a Value, key: &str) -> Vec<&'a str> {
    value[key].as_array().into_iter().flatten().map(|text| text.as_str().expect("a text")).collect()
}

fn networks(service: &Value) -> BTreeSet<&str> {
    texts(service, "networks").into_iter().collect()
}

/// What of this machine a service has, and where.
fn mounts(service: &Value) -> Vec<(&str, &str)> {
    texts(service, "volumes").into_iter().map(|mount| mount.split_once(':').expect("a source and a target")).collect()
}

fn is_emshop(service: &Value) -> bool {
    service["entrypoint"].is_null() && service["image"].as_str().is_some_and(|image| image.starts_with("emshop:"))
}

fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).expect("a text")
}

fn problems(compose: &Value) -> Vec<String> {
    let schema = read(&repository().join("deploy/tests/schemas/compose-spec.json"));
    let schema = serde_json::from_str(&schema).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    validator.iter_errors(compose).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

#[test]
fn it_is_a_compose_file() {
    let mut compose = compose();
    assert_eq!(problems(&compose), Vec::<String>::new());
    compose["services"]["ingress"]["heathcheck"] = Value::Bool(true);
    assert!(!problems(&compose).is_empty(), "the schema takes anything");
}

#[test]
fn what_it_names_is_there() {
    let compose = compose();
    let has = |kind: &str, name: &str| compose[kind].get(name).is_some();
    for (name, service) in object(&compose, "services") {
        for (source, _) in mounts(service) {
            let found = if source.starts_with('.') { folder().join(source).exists() } else { has("volumes", source) };
            assert!(found, "{name} has {source}, which is not there");
        }
        assert!(networks(service).iter().all(|network| has("networks", network)), "{name}");
        for (other, needs) in object(service, "depends_on") {
            let other_service = &compose["services"][other];
            assert!(other_service.is_object(), "{name} waits for {other}, which is not there");
            let tells = is_emshop(other_service) || other_service["healthcheck"]["test"].is_array();
            assert!(needs["condition"] != "service_healthy" || tells, "{name} waits for {other}, which does not tell how it is");
        }
        if service["build"].is_object() {
            let context = folder().join(service["build"]["context"].as_str().expect("a folder"));
            assert!(context.join(service["build"]["dockerfile"].as_str().expect("a file")).is_file(), "{name}");
        }
    }
}

#[test]
fn images_are_of_one_version() {
    let dockerfile = read(&repository().join("deploy/container/Dockerfile"));
    assert!(dockerfile.contains(&format!("\nARG VERSION={VERSION}\n")), "the Dockerfile is of another release than {VERSION}");
    for (name, service) in object(&compose(), "services") {
        let (image, tag) = service["image"].as_str().and_then(|image| image.rsplit_once(':')).expect("an image with a tag");
        assert!(tag.chars().any(|letter| letter.is_ascii_digit()), "{name} runs what comes: {image}:{tag}");
        assert!(image != "emshop" || tag == VERSION, "{name} runs emshop {tag}");
    }
}

#[test]
fn only_what_people_look_at_is_published_and_on_this_machine_alone() {
    let compose = compose();
    let mut published = BTreeSet::new();
    for (name, service) in object(&compose, "services") {
        for port in texts(service, "ports") {
            assert!(port.starts_with("127.0.0.1:"), "{name} is published at {port}");
            published.insert(name);
        }
        let inside = networks(service).iter().all(|network| compose["networks"][network]["internal"] == true);
        assert!(inside || published.contains(name) || name == "load", "{name} gets out, for nothing");
    }
    assert_eq!(published, BTreeSet::from(["grafana", "ingress", "prometheus"]));
}

#[test]
fn emshop_takes_its_settings() {
    let compose = compose();
    let processes: Vec<_> = object(&compose, "services").filter(|(_, service)| is_emshop(service)).collect();
    assert_eq!(processes.len(), 3, "two engines and an ingress");
    for (name, service) in processes {
        let variables: Vec<_> =
            object(service, "environment").map(|(key, value)| (key, value.as_str().expect("a text"))).collect();
        let mut command = Command::new(program("emshop"));
        command.env_clear().env("HOME", "/nowhere").args(["serve", "--print-config"]).envs(variables.iter().copied());
        let settings: Value = serde_saphyr::from_str(&succeeded(&command.output().expect("it runs"))).expect("YAML");
        for (variable, value) in variables {
            let key = variable.strip_prefix("EMSHOP__").unwrap_or_else(|| panic!("{name}: {variable} is no setting"));
            let path = format!("/{}", key.to_lowercase().replace("__", "/"));
            let set = settings.pointer(&path).unwrap_or_else(|| panic!("{name}: {variable} is no setting"));
            assert_eq!(set.to_string().trim_matches('"'), value, "{name}: {variable}");
        }
    }
}

#[test]
fn the_load_generator_takes_its_flags() {
    let load = &compose()["services"]["load"];
    let flags: Vec<_> = texts(load, "entrypoint").into_iter().chain(texts(load, "command")).collect();
    assert_eq!(flags[0], "emshop-loadgen");
    // It comes to the help when all before it is right.
    succeeded(&Command::new(program("emshop-loadgen")).args(&flags[1..]).arg("--help").output().expect("it runs"));
}

#[test]
fn prometheus_watches_all_processes() {
    let compose = compose();
    let prometheus = &compose["services"]["prometheus"];
    let is_watched = |(name, service): &(&str, &Value)| {
        assert_eq!(service["environment"]["EMSHOP__ADMIN__LISTEN"], ADMIN, "{name}");
        networks(service).intersection(&networks(prometheus)).next().is_some()
    };
    let processes = object(&compose, "services").filter(|(_, service)| is_emshop(service));
    let watched: BTreeSet<_> = processes.filter(is_watched).map(|(name, _)| format!("{name}:50052")).collect();
    let config = yaml("prometheus.yml");
    let targets = texts(&config["scrape_configs"][0]["static_configs"][0], "targets");
    assert_eq!(targets.into_iter().map(str::to_owned).collect::<BTreeSet<_>>(), watched);

    // As it finds them.
    let etc = TempDir::new().expect("a folder");
    for (source, target) in mounts(prometheus) {
        let Some(name) = target.strip_prefix("/etc/prometheus/") else { continue };
        fs::copy(folder().join(source), etc.path().join(name.trim_end_matches(":ro"))).expect("a file");
    }
    match Command::new("promtool").args(["check", "config"]).arg(etc.path().join("prometheus.yml")).output() {
        Ok(checked) => drop(succeeded(&checked)),
        Err(_) => eprintln!("there is no promtool: `scripts/tools tests` installs it"),
    }
}

#[test]
fn grafana_finds_its_boards_and_where_they_get_what_they_show() {
    let compose = compose();
    let grafana = &compose["services"]["grafana"];
    let datasources = yaml("grafana/datasources/prometheus.yaml");
    let datasource = &datasources["datasources"][0];
    assert_eq!((&datasource["type"], &datasource["url"]), (&"prometheus".into(), &"http://prometheus:9090".into()));
    assert!(networks(grafana).intersection(&networks(&compose["services"]["prometheus"])).next().is_some());

    let traces = yaml("grafana/datasources/jaeger.yaml");
    assert_eq!(
        (&traces["datasources"][0]["type"], &traces["datasources"][0]["url"]),
        (&"jaeger".into(), &"http://jaeger:16686".into())
    );
    for (name, service) in object(&compose, "services").filter(|(name, service)| is_emshop(service) || *name == "grafana") {
        assert!(networks(service).intersection(&networks(&compose["services"]["jaeger"])).next().is_some(), "{name} and jaeger");
    }

    let providers = yaml("grafana/dashboards/emshop.yaml");
    let boards = providers["providers"][0]["options"]["path"].as_str().expect("a folder");
    let mounts = mounts(grafana);
    let source = |place: &str| {
        let found = mounts.iter().find(|(_, target)| target.trim_end_matches(":ro") == place);
        folder().join(found.unwrap_or_else(|| panic!("nothing is mounted at {place}")).0)
    };
    for board in ["shop.json", "internals.json"] {
        let board: Value = serde_json::from_str(&read(&source(boards).join(board))).expect("JSON");
        assert!(board["title"].is_string() && board["uid"].is_string(), "a board");
    }
    for (kind, file) in [("datasources", "prometheus.yaml"), ("dashboards", "emshop.yaml")] {
        assert!(source(&format!("/etc/grafana/provisioning/{kind}")).join(file).is_file());
    }
}

#[test]
fn nats_server_lets_in_who_the_operations_page_says() {
    let page = read(&repository().join("docs/OPERATIONS.md"));
    let section = page.split("<!-- generated: nats-users").nth(1).and_then(|rest| rest.split("```").nth(1)).expect("a section");
    let config = read(&folder().join("nats.conf"));
    assert!(config.ends_with(section.trim_start()), "copy the section nats-users of docs/OPERATIONS.md to the end of nats.conf");
}

/// All that is there, with its mode.
fn keys_of(folder: &Path) -> Vec<(PathBuf, u32, String)> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut keys: Vec<_> = entries
        .map(|path| {
            let mode = path.metadata().expect("it is there").permissions().mode() & 0o777;
            let text = read(&path);
            (path, mode, text)
        })
        .collect();
    keys.sort();
    keys
}

#[test]
fn keys_are_made_once_and_for_their_owner_alone() {
    let etc = TempDir::new().expect("a folder");
    let emshop = etc.path().join("emshop");
    fs::create_dir(&emshop).expect("a folder");
    let make = || succeeded(&Command::new("bash").arg(folder().join("make-keys")).arg(&emshop).output().expect("it runs"));
    make();
    let keys = keys_of(&emshop);
    assert_eq!(keys.len(), 8, "two keys, five passwords, and all of these for nats-server: {keys:?}");
    assert!(keys.iter().all(|(_, mode, _)| *mode == 0o600), "{keys:?}");
    let different: BTreeSet<_> = keys.iter().map(|(_, _, text)| text).collect();
    assert_eq!(different.len(), keys.len(), "no two are the same");
    make();
    assert_eq!(keys_of(&emshop), keys, "what is there stays");

    // As it finds them.
    fs::create_dir(etc.path().join("nats")).expect("a folder");
    fs::copy(folder().join("nats.conf"), etc.path().join("nats/nats.conf")).expect("a file");
    let Some(server) = emshop_deploy::nats_server() else {
        eprintln!("there is no nats-server: `make tools` installs it");
        return;
    };
    let checked = Command::new(server).arg("-t").arg("--config").arg(etc.path().join("nats/nats.conf")).output();
    succeeded(&checked.expect("it runs"));
}
