//! Which settings go together, and which values make sense.

use std::time::Duration;

use anyhow::{Result, ensure};
use emshop_ingress::LIFETIME_MAX;
use emshop_log::LOG_BYTES_MIN;
use emshop_proto::logistics::COMPLETION_SECONDS_MAX;
use emshop_proto::partitioner::LOGS_MAX;
use tracing_subscriber::EnvFilter;

use super::{Captcha, DAY, Ingress, Nats, Role, ServerUrl, Settings, Sms, Tls, Verification};

const CONNECTION_AGE_MIN: Duration = Duration::from_secs(1);
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);
const AUDIT_BYTES_MIN: u64 = 1 << 20;
/// An order asks for no more.
const PAYMENT_SECONDS_MAX: u64 = 86_400;
/// Tokens count in seconds.
const SESSION_LIFETIME_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);
const TOKEN_LIFETIME_MIN: Duration = Duration::from_secs(1);

impl Settings {
    /// # Errors
    /// What of them does not go together, or makes no sense.
    pub(super) fn check(&self) -> Result<()> {
        self.nats.check()?;
        self.telemetry.otlp.check()?;
        ensure!(
            self.role == Role::All || self.nats.url.is_some(),
            "a process that is an ingress or an engine alone meets the others on a NATS server: set nats.url (--nats)"
        );
        ensure!(
            self.own.is_none() || self.role != Role::Ingress,
            "own (--own) names logs whose engine runs here, but an ingress runs none"
        );
        ensure!(
            self.role != Role::Ingress || self.auth.key_file.is_some() || !self.auth.required,
            "all ingresses must sign alike: name the file of their key in auth.key_file (--key-file), since an ingress alone makes none"
        );
        ensure!(
            self.role == Role::All || self.cluster.key_file.is_some(),
            "engines and ingresses of a shop share the key that their logs are sealed with: name its file in cluster.key_file \
             (--cluster-key-file)"
        );
        ensure!(
            !self.dev || self.listen.ip().is_loopback(),
            "dev (--dev) lets everybody in, and {} is no loopback address: leave it out, or listen on 127.0.0.1",
            self.listen
        );
        let Tls { cert, key, client_ca } = &self.tls;
        ensure!(
            cert.is_some() == key.is_some() && (cert.is_some() || client_ca.is_none()),
            "tls.cert (--tls-cert) goes with tls.key (--tls-key), and tls.client_ca (--tls-client-ca) with both"
        );
        ensure!(
            self.role == Role::Engine || self.listen.ip().is_loopback() || cert.is_some() || self.insecure,
            "others reach {}, and without TLS whoever is on the way can read passwords and tokens: set tls.cert and tls.key (--tls-cert, \
             --tls-key), for which `emshop dev-certificates` makes some to try; or, where a proxy has TLS, --insecure",
            self.listen
        );
        if let Some(listen) = self.admin.listen.0 {
            ensure!(
                listen.ip().is_loopback() || cert.is_some() || self.insecure,
                "others reach {listen}, and without TLS whoever is on the way reads what is measured: let admin.listen (--admin) be on 127.0.0.1, \
                 set tls.cert and tls.key (--tls-cert, --tls-key), or say --insecure where only your own programs get there"
            );
        }
        let Verification { sms, sms_url, sms_secret_file, captcha } = &self.verification;
        ensure!(
            self.dev || (*sms != Some(Sms::Log) && *captcha != Some(Captcha::Plain)),
            "verification.sms: log and verification.captcha: plain keep nobody out: they are for development (--dev)"
        );
        ensure!(
            (*sms == Some(Sms::Http)) == sms_url.is_some() && sms_url.is_some() == sms_secret_file.is_some(),
            "verification.sms: http goes with verification.sms_url and verification.sms_secret_file, and these with nothing else"
        );
        ensure!(
            (TOKEN_LIFETIME_MIN..=LIFETIME_MAX).contains(&self.auth.token_lifetime),
            "auth.token_lifetime (--lifetime of `emshop token`) must be 1s to 24h: tokens that are revoked are not remembered for longer"
        );
        ensure!(
            (self.auth.token_lifetime..=SESSION_LIFETIME_MAX).contains(&self.auth.session_lifetime),
            "auth.session_lifetime must be at least auth.token_lifetime, and 366d at most"
        );
        self.auth.oidc.check()?;
        self.discovery.consul.check(self)?;
        ensure!(
            self.payment.pay_url.is_none() || self.payment.webhook_secret_file.is_some(),
            "payment.pay_url is of a real provider, whose notifications need payment.webhook_secret_file"
        );
        ensure!(
            self.cluster.logs.is_none_or(|logs| (1..=LOGS_MAX).contains(&logs)),
            "cluster.logs (--logs) must be 1 to {LOGS_MAX}"
        );
        ensure!(
            self.log.bytes_max >= LOG_BYTES_MIN,
            "log.bytes_max must be {} MiB or more: an engine could not trim a smaller log in time",
            LOG_BYTES_MIN >> 20
        );
        ensure!((DAY..=DAY * 365).contains(&self.log.age_max), "log.age_max must be from a day to a year");
        ensure!(self.audit.bytes_max >= AUDIT_BYTES_MIN, "audit.bytes_max must be {} MiB or more", AUDIT_BYTES_MIN >> 20);
        ensure!((DAY..=DAY * 3_650).contains(&self.audit.age_max), "audit.age_max must be from a day to ten years");
        ensure!(self.engine.rewrite_after >= Duration::from_secs(1), "engine.rewrite_after must be 1s or more");
        ensure!(self.engine.checkpoint_rows_max > 0, "engine.checkpoint_rows_max must be 1 or more");
        ensure!(u32::try_from(self.ingress.bytes_max).is_ok(), "ingress.bytes_max must be below 4GiB");
        let Ingress { reads_max, calls_max, streamed_max, connections_max, connections_per_address_max, .. } = self.ingress;
        ensure!(
            reads_max > 0 && calls_max > 0 && streamed_max > 0 && connections_max > 0 && connections_per_address_max > 0,
            "what ingress.reads_max, calls_max, streamed_max, connections_max and connections_per_address_max allow must be 1 or more"
        );
        ensure!(
            (CONNECTION_AGE_MIN..=CONNECTION_AGE_MAX).contains(&self.ingress.connection_age_max),
            "ingress.connection_age_max must be from 1s to a year"
        );
        let payment_time = self.shop.payment_time_max;
        ensure!(
            payment_time.subsec_nanos() == 0 && payment_time.as_secs() <= PAYMENT_SECONDS_MAX,
            "shop.payment_time_max must be whole seconds, up to a day; 0s limits nothing"
        );
        let log = &self.telemetry.log;
        ensure!(
            EnvFilter::try_new(log).is_ok(),
            "telemetry.log is no filter such as `info` or `info,emshop_engine=debug`: {log:?}"
        );
        let completion = self.ingress.completion;
        ensure!(
            completion.subsec_nanos() == 0 && (1..=COMPLETION_SECONDS_MAX.into()).contains(&completion.as_secs()),
            "ingress.completion must be whole seconds, from one to a year"
        );
        Ok(())
    }
}

impl Nats {
    fn check(&self) -> Result<()> {
        let Self { url, user, password_file, nkey_file, credentials_file, tls_ca, tls_cert, tls_key, .. } = self;
        ensure!(
            user.is_some() == password_file.is_some(),
            "nats.user and nats.password_file go together: the file has the password of that user"
        );
        ensure!(tls_cert.is_some() == tls_key.is_some(), "nats.tls_cert and nats.tls_key go together");
        let in_url = url.as_ref().is_some_and(ServerUrl::has_login);
        let logins = [in_url, user.is_some(), nkey_file.is_some(), credentials_file.is_some()];
        ensure!(
            logins.iter().filter(|is_set| **is_set).count() <= 1,
            "one login is enough: a password in nats.url, nats.user, nats.nkey_file or nats.credentials_file"
        );
        ensure!(
            url.is_some() || !(logins.contains(&true) || tls_ca.is_some() || tls_cert.is_some()),
            "logins and certificates in the section nats are for a server of your own: set nats.url (--nats)"
        );
        Ok(())
    }
}
