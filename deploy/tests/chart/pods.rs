//! What pods may do, and what they are given.

use emshop_deploy::tools::one_yaml;
use serde_json::{Value, json};

use crate::release::{PARTS, Release, VALUES, list, text};

#[test]
fn nothing_runs_with_rights() {
    for (values, part) in VALUES.iter().flat_map(|values| PARTS.map(|part| (values, part))) {
        let release = Release::new(values, &[]);
        let (pod, container) = (&release.pod(part)["spec"], release.container(part));
        let who = &pod["securityContext"];
        assert_eq!(who["runAsNonRoot"], true);
        assert!([&who["runAsUser"], &who["runAsGroup"], &who["fsGroup"]].iter().all(|id| **id == 10_001), "{who}");
        assert_eq!(who["seccompProfile"], json!({"type": "RuntimeDefault"}));
        let may = json!({"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}});
        assert_eq!(container["securityContext"], may);
        assert_eq!([&pod["automountServiceAccountToken"], &pod["enableServiceLinks"]], [false, false]);
        assert_eq!(pod["serviceAccountName"], release.of_kind("ServiceAccount")[0]["metadata"]["name"]);
        assert_eq!(release.of_kind("ServiceAccount")[0]["automountServiceAccountToken"], false);
        assert!(["hostNetwork", "hostPID", "hostIPC", "initContainers"].iter().all(|name| pod[name].is_null()));
        assert!(list(&pod["volumes"]).iter().all(|volume| volume["hostPath"].is_null()));
    }
}

#[test]
fn every_container_is_looked_after_and_bounded() {
    for (values, part) in VALUES.iter().flat_map(|values| PARTS.map(|part| (values, part))) {
        let release = Release::new(values, &[]);
        let container = release.container(part);
        for resource in ["/resources/requests/cpu", "/resources/requests/memory", "/resources/limits/memory"] {
            assert!(container.pointer(resource).is_some(), "{part}: {resource}");
        }
        let ports: Vec<_> = list(&container["ports"]).iter().map(|port| text(&port["name"])).collect();
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
            let asked = [&container[probe]["httpGet"]["port"], &container[probe]["tcpSocket"]["port"]];
            let port = asked.into_iter().find(|port| !port.is_null()).unwrap_or_else(|| panic!("{part} has no {probe}"));
            assert!(ports.contains(&text(port)), "{part}: {probe} asks {port}");
        }
        assert_eq!(list(&container["args"])[..2], ["serve", "--config"]);
    }
}

/// The kubelet shows no certificate, and speaks TLS where the port does.
#[test]
fn probes_ask_in_a_way_that_is_answered() {
    let scheme = |flags: &[&str], part| {
        let release = Release::new("minimum", flags);
        release.container(part)["readinessProbe"].clone()
    };
    assert_eq!(scheme(&[], "ingress")["httpGet"]["scheme"], "HTTP");
    let tls = ["--set", "ingress.tls.secret=tls"];
    assert_eq!(scheme(&tls, "ingress")["httpGet"]["scheme"], "HTTPS");
    assert_eq!(scheme(&tls, "engine")["httpGet"]["scheme"], "HTTP");
    let with_clients = [&tls[..], &["--set", "ingress.tls.clientCa=true"]].concat();
    assert_eq!(scheme(&with_clients, "ingress")["tcpSocket"]["port"], "grpc");
}

/// All texts in a value.
fn texts<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => found.push(text),
        Value::Array(values) => values.iter().for_each(|value| texts(value, found)),
        Value::Object(values) => values.values().for_each(|value| texts(value, found)),
        _ => {}
    }
}

#[test]
fn secrets_are_in_files_or_come_from_secrets() {
    for (values, part) in VALUES.iter().flat_map(|values| PARTS.map(|part| (values, part))) {
        let release = Release::new(values, &[]);
        assert!(release.of_kind("Secret").is_empty(), "the chart makes no secret");
        let settings = one_yaml(release.settings(part));
        let mut named = Vec::new();
        texts(&settings, &mut named);
        let files: Vec<_> = named.into_iter().filter_map(|text| text.strip_prefix("/etc/emshop/secrets/")).collect();
        let volume = list(&release.pod(part)["spec"]["volumes"]).iter().find(|volume| volume["name"] == "secrets");
        let sources = list(&volume.expect("there are secrets")["projected"]["sources"]);
        let items = sources.iter().flat_map(|source| list(&source["secret"]["items"]));
        let mut mounted: Vec<_> = items.map(|item| text(&item["path"])).collect();
        mounted.sort_unstable();
        let mut files_named = files.clone();
        files_named.sort_unstable();
        assert_eq!(files_named, mounted, "{values}: the {part} has what it needs, and nothing else");
        // Keys and passwords are named by a file, and addresses have none in them.
        let said = release.settings(part);
        assert!(!said.contains('@') && !said.contains("sms_url"), "{said}");
        for variable in
            list(&release.container(part)["env"]).iter().filter(|variable| text(&variable["name"]).contains("SMS_URL"))
        {
            assert_eq!(variable["valueFrom"]["secretKeyRef"]["key"], "url");
        }
    }
}

#[test]
fn settings_that_change_start_their_own_pods_anew() {
    let annotations = |flags: &[&str]| {
        let release = Release::new("minimum", flags);
        PARTS.map(|part| text(&release.pod(part)["metadata"]["annotations"]["checksum/settings"]).to_owned())
    };
    let before = annotations(&[]);
    assert_eq!(annotations(&["--set", "ingress.replicas=3", "--set", "image.tag=v2"]), before);
    let both = annotations(&["--set", "config.telemetry.format=text"]);
    assert!(both[0] != before[0] && both[1] != before[1]);
    for of_ingresses in ["ingress.payment.secret=payment", "config.rates.codes=1/s"] {
        let ingress = annotations(&["--set", of_ingresses]);
        assert!(ingress[0] == before[0] && ingress[1] != before[1], "{of_ingresses}");
    }
    let engine = annotations(&["--set", "config.shop.order_units_max=5"]);
    assert!(engine[0] != before[0] && engine[1] == before[1]);
}
