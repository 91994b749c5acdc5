//! What settings become: the options of the parts that a process is made of.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Error, Result};
use emshop_ingress::{
    CaptchaProvider, ConnectionLimits, Http, LogLines, PaymentOptions, Picture, Plain, RateLimits, SessionLifetime, SharedSecret,
    SmsProvider, TlsFiles, Tokens, UnderWay,
};
use emshop_log::jetstream::ClusterOptions;
use emshop_proto::internal::ShopLimits;

use super::{Captcha, Engine, Ingress, Log, Payment, Rates, SecretUrl, Settings, Shop, Sms, Tls, Unacceptable, Verification};
use crate::{open_files, secret};

impl Settings {
    pub fn cluster_options(&self) -> ClusterOptions {
        ClusterOptions {
            logs: self.cluster.logs,
            log_bytes_max: self.log.bytes_max,
            event_bytes_max: self.events.bytes_max,
            audit_bytes_max: self.audit.bytes_max,
            audit_age_max: self.audit.age_max,
        }
    }

    pub fn engine_options(&self) -> emshop_engine::Options {
        let Engine { checkpoint_interval, checkpoint_rows_max, clock_tolerance, .. } = self.engine;
        let Log { bytes_max: log_bytes_max, age_max: log_age_max } = self.log;
        let limits = self.shop_limits();
        emshop_engine::Options { checkpoint_interval, checkpoint_rows_max, log_bytes_max, log_age_max, clock_tolerance, limits }
    }

    pub fn shop_limits(&self) -> ShopLimits {
        let Shop { unpaid_orders_max, order_units_max, payment_time_max } = self.shop;
        ShopLimits {
            unpaid_orders: unpaid_orders_max,
            order_units: order_units_max,
            payment_seconds: u32::try_from(payment_time_max.as_secs()).expect("checked when the settings were read"),
        }
    }

    /// Who sends codes: in development the log lines, where nobody else is named.
    fn sms(&self) -> Option<Sms> {
        self.verification.sms.or_else(|| self.dev.then_some(Sms::Log))
    }

    /// Likewise who draws captchas.
    fn captcha(&self) -> Option<Captcha> {
        self.verification.captcha.or_else(|| self.dev.then_some(Captcha::Plain))
    }

    /// What of that lets everybody in, in words.
    pub fn open_doors(&self) -> Vec<&'static str> {
        let codes = (self.sms() == Some(Sms::Log)).then_some("codes go to the log lines");
        let captchas = (self.captcha() == Some(Captcha::Plain)).then_some("machines read captchas as well as humans");
        codes.into_iter().chain(captchas).collect()
    }

    /// # Errors
    /// [`Unacceptable`], when a secret cannot be read or is none, or an address is none.
    pub fn verification(&self) -> Result<emshop_ingress::Verification> {
        let Verification { sms_url, sms_secret_file, .. } = &self.verification;
        let sms = self.sms().map(|sms| match (sms, sms_url, sms_secret_file) {
            (Sms::Http, Some(url), Some(file)) => sms_server(url, file).context(Unacceptable),
            (Sms::Http, ..) => unreachable!("checked when the settings were read"),
            (Sms::Log, ..) => Ok(Arc::new(LogLines) as Arc<dyn SmsProvider>),
        });
        let captcha = self.captcha().map(|captcha| match captcha {
            Captcha::Picture => Arc::new(Picture) as Arc<dyn CaptchaProvider>,
            Captcha::Plain => Arc::new(Plain),
        });
        Ok(emshop_ingress::Verification { sms: sms.transpose()?, captcha })
    }

    /// # Errors
    /// [`Unacceptable`], when the secret cannot be read or is none.
    pub fn payment_options(&self) -> Result<PaymentOptions> {
        let Payment { webhook_secret_file, pay_url } = self.payment.clone();
        let secret = |file| shared_secret("payment.webhook_secret_file", file);
        let webhook_secret = webhook_secret_file.as_deref().map(secret).transpose().context(Unacceptable)?;
        Ok(PaymentOptions { webhook_secret, pay_url })
    }

    /// # Errors
    /// [`Unacceptable`], when there could be no TLS by the files, or others than its owner can read the key.
    pub fn tls_files(&self) -> Result<Option<TlsFiles>> {
        let Tls { cert: Some(cert), key: Some(key), client_ca } = self.tls.clone() else { return Ok(None) };
        secret::read(&key).context("tls.key").context(Unacceptable)?;
        let files = TlsFiles { cert, key, client_ca };
        files.check().context(Unacceptable)?;
        Ok(Some(files))
    }

    pub fn rate_limits(&self) -> RateLimits {
        let Rates { accounts_per_address, accounts, reads_per_address, calls_per_user, attempts_per_mobile, codes, proxies } =
            self.rates.clone();
        RateLimits {
            accounts_per_address,
            accounts,
            reads_per_address,
            calls_per_user,
            attempts_per_mobile,
            codes,
            proxies: proxies.0,
        }
    }

    /// What may be under way in an ingress.
    pub fn under_way(&self) -> UnderWay {
        let Ingress { reads_max: reads, calls_max: calls, streamed_max: streamed, bytes_max, .. } = self.ingress;
        let bytes = u32::try_from(bytes_max).expect("checked when the settings were read");
        UnderWay { reads, calls, streamed, bytes }
    }

    /// How many clients may be connected: half of the files that the process may open are left to the store, which cannot go on without.
    ///
    /// # Errors
    /// When the system does not tell how many files these are.
    pub fn connection_limits(&self) -> Result<ConnectionLimits> {
        let Ingress { connections_max, connections_per_address_max: per_address_max, connection_age_max: age_max, .. } =
            self.ingress;
        let most = open_files::raise()? / 2;
        if most < connections_max {
            tracing::warn!(
                connections_max = most,
                "fewer clients can connect than ingress.connections_max says: raise the limit of open files"
            );
        }
        Ok(ConnectionLimits { all_max: connections_max.min(most), per_address_max, age_max })
    }

    /// `tokens` are those of this process's key.
    ///
    /// # Errors
    /// That of [`Settings::connection_limits`].
    pub fn ingress_options(&self, tokens: Tokens) -> Result<emshop_ingress::Options> {
        let Ingress { outcome_wait_max, leave_delay, drain_max, completion, .. } = self.ingress;
        let completes_after_seconds = u32::try_from(completion.as_secs()).expect("checked when the settings were read");
        Ok(emshop_ingress::Options {
            listen: self.listen,
            under_way: self.under_way(),
            connections: self.connection_limits()?,
            outcome_wait_max,
            leave_delay,
            drain_max,
            completes_after_seconds,
            auth_required: self.auth.required,
            rates: self.rate_limits(),
            session_lifetime: SessionLifetime(self.auth.session_lifetime),
            tokens,
            reflection: self.ingress.reflection || self.dev,
            ..emshop_ingress::Options::default()
        })
    }
}

fn sms_server(url: &SecretUrl, secret: &Path) -> Result<Arc<dyn SmsProvider>> {
    let secret = shared_secret("verification.sms_secret_file", secret)?;
    Ok(Arc::new(Http::new(url.in_clear(), secret).map_err(Error::msg).context("verification.sms_url")?))
}

/// The bytes of the file of a setting, without white space at either end: editors add a line feed.
fn shared_secret(setting: &'static str, file: &Path) -> Result<SharedSecret> {
    let bytes = secret::read(file).context(setting)?;
    let secret = SharedSecret::new(bytes.trim_ascii().to_vec());
    secret.with_context(|| format!("{setting}: the secret in {} is shorter than 16 bytes", file.display()))
}
