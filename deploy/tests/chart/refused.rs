//! Values that make no shop are refused, with what is wrong.

use crate::release::try_helm;

/// Refused because of one more value than a file has, or one less.
fn assert_refused(values: &str, set: &[&str], words: &[&str]) {
    let flags: Vec<_> = set.iter().flat_map(|value| ["--set", *value]).collect();
    let Err(refusal) = try_helm("shop", values, &flags) else { panic!("{set:?} is taken") };
    assert!(words.iter().all(|word| refusal.contains(word)), "{set:?}: {refusal}");
}

#[test]
fn what_has_no_default_is_asked_for() {
    assert_refused("", &[], &["nats.url is the NATS server"]);
    for (value, words) in [
        ("nats.url=", "nats.url is the NATS server"),
        ("secrets.clusterKey=", "secrets.clusterKey names the Secret"),
        ("secrets.tokenKeys=", "secrets.tokenKeys names the Secret"),
        ("nats.login.engine.secret=", "or say kind: none"),
        ("nats.login.ingress.secret=", "or say kind: none"),
        ("insecure=false", "name a Secret in ingress.tls.secret"),
        ("ingress.tls.clientCa=true", "goes with ingress.tls.secret"),
    ] {
        assert_refused("minimum", &[value], &[words]);
    }
}

#[test]
fn what_is_no_value_is_refused_by_name() {
    for (value, place) in [
        ("replicas=3", "replicas"),
        ("ingress.replica=3", "replica"),
        ("logs=0", "/logs"),
        ("logs=257", "/logs"),
        ("logs=two", "/logs"),
        ("insecure=perhaps", "/insecure"),
        ("image.pullPolicy=Sometimes", "/image/pullPolicy"),
        ("image.tag=a b", "/image/tag"),
        ("secrets.clusterKey=Not_A_Name", "/secrets/clusterKey"),
        ("nats.login.kind=token", "/nats/login/kind"),
        ("engine.persistence.size=much", "/engine/persistence/size"),
        ("ingress.service.port=0", "/ingress/service/port"),
        ("networkPolicy.nats.to=null", "/networkPolicy/nats"),
        ("monitoring.interval=soon", "/monitoring/interval"),
        ("extraEnv[0].value=1", "/extraEnv/0"),
    ] {
        assert_refused("minimum", &[value], &[place]);
    }
}

/// Passwords would be read by whoever reads a ConfigMap; and nobody says twice what the chart says.
#[test]
fn settings_that_are_secret_or_the_charts_own_are_refused() {
    for (value, place) in [
        ("nats.url=nats://shop:secret@nats:4222", "/nats/url"),
        ("config.verification.sms_url=https://sms.example/key", "/config/verification/sms_url"),
        ("config.nats.url=nats://nats:4222", "nats"),
        ("config.listen=0.0.0.0:1", "listen"),
        ("config.role=all", "role"),
        ("config.own=0", "own"),
        ("config.data=/tmp", "data"),
        ("config.insecure=true", "insecure"),
        ("config.cluster.logs=2", "cluster"),
        ("config.tls.cert=x", "tls"),
        ("config.admin.listen=off", "admin"),
        ("config.auth.key_file=x", "/config/auth/key_file"),
        ("config.payment.webhook_secret_file=x", "/config/payment/webhook_secret_file"),
        ("config.dev=true", "dev"),
        // YAML takes `off` for a boolean, which is no rate.
        ("config.rates.codes=false", "/config/rates/codes"),
    ] {
        assert_refused("minimum", &[value], &[place]);
    }
}
