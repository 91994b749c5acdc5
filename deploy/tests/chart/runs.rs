//! The program takes what the chart gives it, and a shop comes of it: its processes run as the pods would, without Kubernetes.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use emshop_deploy::process::{Running, ask, wait_until};
use emshop_deploy::program;
use emshop_deploy::tools::one_yaml;
use nix::unistd::geteuid;
use serde_json::Value;
use tempfile::TempDir;

use crate::release::{PARTS, Release, VALUES, list, page_objects, text};

/// As whom the containers run.
const USER: u32 = 10_001;

/// The environment of a container, as the pod with this ordinal has it.
fn environment(release: &Release, part: &str, ordinal: u32) -> BTreeMap<String, String> {
    let variables = list(&release.container(part)["env"]).iter();
    let value = |variable: &Value| match (&variable["value"], &variable["valueFrom"]) {
        (Value::String(value), _) => value.clone(),
        (_, from) if !from["fieldRef"].is_null() => ordinal.to_string(),
        _ => "https://sms.example/send".to_owned(),
    };
    variables.map(|variable| (text(&variable["name"]).to_owned(), value(variable))).collect()
}

fn print_config(settings: &str, environment: &BTreeMap<String, String>) -> Output {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("settings.yaml");
    fs::write(&file, settings).unwrap();
    let mut command = Command::new(program("emshop"));
    command.env_clear().envs(environment).args(["serve", "--config"]).arg(file).arg("--print-config").output().expect("it runs")
}

#[test]
fn the_program_takes_the_settings_and_the_environment() {
    for (values, part) in VALUES.iter().flat_map(|values| PARTS.map(|part| (values, part))) {
        let release = Release::new(values, &[]);
        let environment = environment(&release, part, 0);
        let output = print_config(release.settings(part), &environment);
        assert!(output.status.success(), "{values} {part}: {}", String::from_utf8_lossy(&output.stderr));
        let known = one_yaml(&String::from_utf8(output.stdout).unwrap());
        assert_eq!(known["role"], part);
        // A name that is none would be passed over where the section is none either.
        for name in environment.keys() {
            let setting = name.strip_prefix("EMSHOP__").expect("a setting").to_lowercase().replace("__", "/");
            assert!(known.pointer(&format!("/{setting}")).is_some(), "{name} is no setting");
        }
        if part == "engine" {
            assert_eq!(known["own"], "0");
        }
    }
    let everything = Release::new("everything", &[]);
    let wrong = everything.settings("engine").replace("checkpoint_interval", "checkpoint_intervall");
    assert!(!print_config(&wrong, &BTreeMap::new()).status.success());
}

#[test]
fn the_program_takes_the_job_of_the_page() {
    let job = one_yaml(&page_objects());
    let container = &job["spec"]["template"]["spec"]["containers"][0];
    let mut command = Command::new(program("emshop"));
    command.env_clear().args(list(&container["args"]).iter().map(text)).arg("--print-config");
    let settings = list(&container["env"]).iter().filter(|variable| !variable["value"].is_null());
    command.envs(settings.map(|variable| (text(&variable["name"]), text(&variable["value"]))));
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = one_yaml(&String::from_utf8(output.stdout).unwrap());
    assert_eq!(printed["nats"]["user"], "operator");
    assert_eq!(printed["cluster"]["key_file"], "/secrets/cluster.key");
}

#[test]
fn each_login_is_one_that_the_program_takes() {
    for kind in ["password", "nkey", "credentials", "certificate", "none"] {
        let login = format!("nats.login.kind={kind}");
        let release = Release::new("minimum", &["--set", &login, "--set", "nats.caSecret=ca"]);
        for part in PARTS {
            let output = print_config(release.settings(part), &environment(&release, part, 0));
            assert!(output.status.success(), "{kind} {part}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

/// A pod's files in a folder, and the program that runs there.
struct Pod<'a> {
    release: &'a Release,
    part: &'a str,
    root: PathBuf,
}

impl<'a> Pod<'a> {
    /// With secrets as the kubelet mounts them: of root, for the group of the pod. Only root can do that; others own them.
    fn new(release: &'a Release, part: &'a str, root: PathBuf, secrets: &[(&str, &str)]) -> Self {
        for folder in ["secrets", "data"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        let is_root = geteuid().is_root();
        for (name, secret) in secrets {
            let file = root.join("secrets").join(name);
            fs::write(&file, secret).unwrap();
            if is_root {
                chown(&file, Some(0), Some(USER)).unwrap();
            }
            fs::set_permissions(&file, Permissions::from_mode(if is_root { 0o440 } else { 0o400 })).unwrap();
        }
        if is_root {
            chown(root.join("data"), Some(0), Some(USER)).unwrap();
            fs::set_permissions(root.join("data"), Permissions::from_mode(0o2775)).unwrap();
        }
        // Ports of its own, where a pod has an address of its own.
        let settings = release.settings(part).replace("/etc/emshop/secrets", root.join("secrets").to_str().unwrap());
        let settings = settings.replace("/var/lib/emshop", root.join("data").to_str().unwrap());
        let settings = settings.replace("0.0.0.0:50051", "127.0.0.1:0").replace("0.0.0.0:50052", "127.0.0.1:0");
        fs::write(root.join("settings.yaml"), settings).unwrap();
        Self { release, part, root }
    }

    /// The program with arguments, as the container runs it: without rights, and nowhere to write to but its volumes.
    fn command(&self, program: &Path, arguments: &[&str], ordinal: u32) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).arg("--config").arg(self.root.join("settings.yaml")).current_dir("/");
        command.env_clear().env("TMPDIR", "/nowhere").envs(environment(self.release, self.part, ordinal));
        if geteuid().is_root() {
            command.uid(USER).gid(USER);
        }
        command
    }
}

#[test]
fn a_shop_comes_of_what_the_pods_are_given() {
    let folder = TempDir::new().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    // Where it was built nobody else may look.
    let emshop = folder.path().join("emshop");
    fs::copy(program("emshop"), &emshop).unwrap();
    let users = r#"authorization { users: [{user: engine, password: "of-engines"}, {user: ingress, password: "of-ingresses"}] }"#;
    let (_nats, nats) = Running::nats_server(folder.path(), users);
    let url = format!("nats.url=nats://{nats}");
    let sizes = ["log.bytes_max=64MiB", "events.bytes_max=64MiB", "audit.bytes_max=8MiB", "ingress.leave_delay=0s"];
    let sizes = sizes.map(|size| format!("config.{size}"));
    let mut flags = vec!["--set", "logs=2", "--set", &url];
    flags.extend(sizes.iter().flat_map(|size| ["--set", size.as_str()]));
    let release = Release::new("minimum", &flags);

    let [cluster, token] = ["5a", "a5"].map(|byte| byte.repeat(32));
    let engine = |ordinal: u32| {
        let secrets = [("cluster.key", cluster.as_str()), ("nats.password", "of-engines")];
        Pod::new(&release, "engine", folder.path().join(format!("engine-{ordinal}")), &secrets)
    };
    let engines: Vec<_> = (0..2).map(engine).collect();
    let engines: Vec<_> =
        (0..).zip(&engines).map(|(ordinal, pod)| Running::start(&mut pod.command(&emshop, &["serve"], ordinal))).collect();
    let engine_admins: Vec<_> = engines.iter().map(|engine| engine.listens("the admin port is open")).collect();
    let secrets = [("cluster.key", cluster.as_str()), ("nats.password", "of-ingresses"), ("auth.key", token.as_str())];
    let pod = Pod::new(&release, "ingress", folder.path().join("ingress"), &secrets);
    let ingress = Running::start(&mut pod.command(&emshop, &["serve"], 0));
    let admin = ingress.listens("the admin port is open");
    // Each engine has its log, and so calls may come.
    for admin in engine_admins.iter().chain([&admin]) {
        assert_eq!(ask(*admin, "/livez").0, 200);
        wait_until("it is ready", || ask(*admin, "/readyz").0 == 200);
    }
    for (admin, log) in engine_admins.iter().zip(["0", "1"]) {
        let (_, metrics) = ask(*admin, "/metrics");
        let held = format!("emshop_engine_lease_held{{log=\"{log}\"}} 1");
        assert!(metrics.contains(&held) && metrics.matches("emshop_engine_lease_held{").count() == 1, "{held}");
    }

    // The line of NOTES.txt.
    let signed = pod.command(&emshop, &["token", "--user", "1", "--role", "super"], 0).output().unwrap();
    assert!(signed.status.success(), "{}", String::from_utf8_lossy(&signed.stderr));
    for process in engines.into_iter().chain([ingress]) {
        assert_eq!(process.terminate().code(), Some(0));
    }
}
