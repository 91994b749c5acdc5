//! What finds what: selectors and labels, ports and their names, who is let through to whom.

use emshop_deploy::tools::one_yaml;
use serde_json::{Value, json};

use crate::release::{PARTS, Release, VALUES, labels, list, selects, text};

/// The parts whose pods a selector selects.
fn selected(release: &Release, selector: &Value) -> Vec<&'static str> {
    PARTS.into_iter().filter(|part| selects(selector, &release.pod(part)["metadata"]["labels"])).collect()
}

#[test]
fn selectors_select_the_pods_of_their_part_and_no_others() {
    for values in VALUES {
        let release = Release::new(values, &[]);
        for part in PARTS {
            let (workload, name) = (release.workload(part), format!("shop-emshop-{part}"));
            assert_eq!(selected(&release, &workload["spec"]["selector"]["matchLabels"]), [part]);
            let budget = release.named("PodDisruptionBudget", &name);
            assert_eq!(selected(&release, &budget["spec"]["selector"]["matchLabels"]), [part]);
            assert_eq!(budget["spec"]["maxUnavailable"], 1, "one is enough to stop a drain if it must be there always");
            for spread in list(&release.pod(part)["spec"]["topologySpreadConstraints"]) {
                assert_eq!(selected(&release, &spread["labelSelector"]["matchLabels"]), [part]);
            }
        }
        let services = ["shop-emshop-engine", "shop-emshop", "shop-emshop-headless"];
        assert_eq!(release.of_kind("Service").len(), services.len());
        for (service, part) in services.into_iter().zip(["engine", "ingress", "ingress"]) {
            let service = release.named("Service", service);
            assert_eq!(selected(&release, &service["spec"]["selector"]), [part]);
            let ports: Vec<_> = list(&release.container(part)["ports"]).iter().map(|port| &port["name"]).collect();
            assert!(list(&service["spec"]["ports"]).iter().all(|port| ports.contains(&&port["targetPort"])), "{service}");
        }
        assert_eq!(release.workload("engine")["spec"]["serviceName"], services[0]);
        assert_eq!(release.named("Service", services[2])["spec"]["clusterIP"], "None");
    }
}

#[test]
fn another_release_beside_it_is_another_shop() {
    let release = Release::new("minimum", &[]);
    let other = Release::called("second", "minimum", &[]);
    for part in PARTS {
        let selector = &release.workload(part)["spec"]["selector"]["matchLabels"];
        let pods = other.of_kind(if part == "engine" { "StatefulSet" } else { "Deployment" })[0];
        assert!(!selects(selector, &pods["spec"]["template"]["metadata"]["labels"]));
    }
}

/// An engine goes by its ordinal, and finds its state again.
#[test]
fn each_log_has_an_engine_with_a_volume() {
    for (values, logs) in [("minimum", 1), ("everything", 4)] {
        let release = Release::new(values, &[]);
        let engines = &release.workload("engine")["spec"];
        assert_eq!(engines["replicas"], logs);
        let settings = one_yaml(release.settings("engine"));
        assert_eq!(settings["cluster"]["logs"], logs);
        let own = list(&release.container("engine")["env"]).iter().find(|variable| variable["name"] == "EMSHOP__OWN").unwrap();
        assert_eq!(own["valueFrom"]["fieldRef"]["fieldPath"], "metadata.labels['apps.kubernetes.io/pod-index']");
        let claim = &engines["volumeClaimTemplates"][0];
        let mounts = list(&release.container("engine")["volumeMounts"]);
        let data = mounts.iter().find(|mount| mount["name"] == claim["metadata"]["name"]).expect("it is mounted");
        assert_eq!(data["mountPath"], settings["data"]);
        assert_eq!(engines["persistentVolumeClaimRetentionPolicy"], json!({"whenDeleted": "Retain", "whenScaled": "Retain"}));
    }
}

#[test]
fn policies_let_through_what_is_needed_and_nothing_else() {
    let rules = |release: &Release, part: &str, way: &str| {
        let policy = release.named("NetworkPolicy", &format!("shop-emshop-{part}"));
        assert_eq!(selected(release, &policy["spec"]["podSelector"]["matchLabels"]), [part]);
        assert_eq!(policy["spec"]["policyTypes"], json!(["Ingress", "Egress"]), "what is not named is kept out");
        let rules = list(&policy["spec"][way]).iter();
        rules.map(|rule| (rule["ports"].clone(), rule.get("from").or_else(|| rule.get("to")).cloned())).collect::<Vec<_>>()
    };
    let dns = (json!([{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]), None);
    let to_nats = json!([{"namespaceSelector": {}, "podSelector": {"matchLabels": {"app.kubernetes.io/name": "nats"}}}]);
    let nats = (json!([{"port": 4222, "protocol": "TCP"}]), Some(to_nats));
    let (grpc, admin) = (json!([{"port": "grpc", "protocol": "TCP"}]), json!([{"port": "admin", "protocol": "TCP"}]));

    let release = Release::new("minimum", &[]);
    assert!(rules(&release, "engine", "ingress").is_empty());
    assert_eq!(rules(&release, "ingress", "ingress"), [(grpc.clone(), None)]);
    for part in PARTS {
        assert_eq!(rules(&release, part, "egress"), [dns.clone(), nats.clone()], "{part}");
    }

    let release = Release::new("everything", &[]);
    let namespace = |name: &str| Some(json!([{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}]));
    assert_eq!(rules(&release, "engine", "ingress"), [(admin.clone(), namespace("monitoring"))]);
    assert_eq!(rules(&release, "ingress", "ingress"), [(grpc, namespace("web")), (admin, namespace("monitoring"))]);
    assert_eq!(rules(&release, "engine", "egress"), [dns.clone(), nats.clone()]);
    let codes = (json!([{"port": 443, "protocol": "TCP"}]), Some(json!([{"ipBlock": {"cidr": "192.0.2.0/24"}}])));
    assert_eq!(rules(&release, "ingress", "egress"), [dns, nats, codes]);

    assert!(Release::new("open", &[]).of_kind("NetworkPolicy").is_empty());
}

#[test]
fn prometheus_finds_each_pod_once_as_one_job() {
    let release = Release::new("everything", &[]);
    let monitor = release.of_kind("ServiceMonitor")[0];
    let endpoints = list(&monitor["spec"]["endpoints"]);
    let services = release.of_kind("Service").into_iter();
    let services: Vec<_> =
        services.filter(|service| selects(&monitor["spec"]["selector"]["matchLabels"], &service["metadata"]["labels"])).collect();
    for (part, scheme) in [("engine", Value::Null), ("ingress", json!("https"))] {
        let endpoint = endpoints.iter().find(|endpoint| endpoint["port"] == format!("{part}-admin")).expect("it is watched");
        assert_eq!(endpoint["scheme"], scheme);
        let has_port = |service: &&&Value| list(&service["spec"]["ports"]).iter().any(|port| port["name"] == endpoint["port"]);
        let found: Vec<_> = services.iter().filter(has_port).collect();
        assert_eq!(found.len(), 1, "{part}");
        assert_eq!(selected(&release, &found[0]["spec"]["selector"]), [part]);
        // As the alerts ask for it.
        let job = text(&endpoint["relabelings"][0]["replacement"]);
        assert!(job.starts_with("emshop") && job.contains("sell") && job.contains("shop"), "{job}");
    }
    assert!(labels(&monitor["metadata"]["labels"]).get("release") == Some(&"prometheus"));
    assert!(Release::new("minimum", &[]).of_kind("ServiceMonitor").is_empty());
}
