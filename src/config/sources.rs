//! Where settings come from: defaults < file < the cluster's bucket < environment < flags.

use std::collections::BTreeMap;
use std::path::Path;
use std::{env, fmt, fs};

use anyhow::{Context, Result, bail};
use config::{Config, Environment};
use serde_json::{Map, Value};

use super::{Settings, Unacceptable};
use crate::cli::Override;

/// Environment variables that are settings begin with this and two underscores: `EMSHOP__NATS__URL` is `nats.url`.
const ENVIRONMENT_PREFIX: &str = "EMSHOP";

/// The short name of `telemetry.log` in the environment; wins over the long one.
const LOG_VARIABLE: &str = "EMSHOP_LOG";

/// Values that all processes of a cluster share, by the names of settings, as somebody has given them.
pub type Shared = BTreeMap<String, String>;

/// Where the value of a setting comes from. The later one wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    Default,
    File,
    /// The cluster has it for all of its processes.
    Bucket,
    Environment,
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.pad(match self {
            Self::Default => "default",
            Self::File => "file",
            Self::Bucket => "bucket",
            Self::Environment => "environment",
            Self::Flag => "flag",
        })
    }
}

/// What this process has of its own, read once. What it shares with others may change.
#[derive(Clone)]
pub struct Sources {
    log_default: String,
    file: Config,
    environment: Config,
    flags: Config,
}

impl Sources {
    /// Reads file, environment and flags. `log_default` is the log filter when none of them has one.
    ///
    /// # Errors
    /// [`Unacceptable`], with the name of what is unknown or wrong.
    pub fn read(file: Option<&Path>, flags: &[Override], log_default: &str) -> Result<Self> {
        Self::try_read(file, flags, log_default).context(Unacceptable)
    }

    /// Of flags alone.
    ///
    /// # Errors
    /// When one of them is no name.
    pub fn bare(flags: &[Override], log_default: &str) -> Result<Self> {
        let none = Config::default;
        Self { log_default: log_default.to_owned(), file: none(), environment: none(), flags: none() }.with(flags)
    }

    /// With more flags, which win over all others.
    ///
    /// # Errors
    /// As [`Sources::bare`].
    pub fn with(&self, flags: &[Override]) -> Result<Self> {
        let mut all = Config::builder().add_source(self.flags.clone());
        for (key, value) in flags {
            all = all.set_override_option(*key, value.map(str::to_owned))?;
        }
        Ok(Self { flags: all.build()?, ..self.clone() })
    }

    fn try_read(file: Option<&Path>, flags: &[Override], log_default: &str) -> Result<Self> {
        let file = file.map(read_file).transpose()?.unwrap_or_default();
        let environment = Environment::with_prefix(ENVIRONMENT_PREFIX).prefix_separator("__").separator("__").ignore_empty(true);
        let environment = Config::builder().add_source(environment);
        let environment = environment.set_override_option("telemetry.log", env::var(LOG_VARIABLE).ok())?;
        Ok(Self { file: Config::try_from(&file)?, environment: environment.build()?, ..Self::bare(flags, log_default)? })
    }

    /// What holds here, together with what is shared.
    ///
    /// # Errors
    /// [`Unacceptable`], with the name of what is unknown or wrong.
    pub fn settings(&self, shared: &Shared) -> Result<Settings> {
        self.try_settings(shared).context(Unacceptable)
    }

    fn try_settings(&self, shared: &Shared) -> Result<Settings> {
        let mut bucket = Config::builder();
        for (name, value) in shared {
            bucket = bucket.set_override(name, value.clone())?;
        }
        let all = Config::builder().set_default("telemetry.log", self.log_default.clone())?;
        let all = all.add_source(self.file.clone()).add_source(bucket.build()?);
        let all = all.add_source(self.environment.clone()).add_source(self.flags.clone());
        let settings: Settings = all.build()?.try_deserialize()?;
        settings.check()?;
        Ok(settings)
    }

    /// Where the value of a setting comes from.
    pub fn origin(&self, name: &str, shared: &Shared) -> Origin {
        let has = |source: &Config| source.get::<config::Value>(name).is_ok();
        match () {
            () if has(&self.flags) => Origin::Flag,
            () if has(&self.environment) => Origin::Environment,
            () if shared.contains_key(name) => Origin::Bucket,
            () if has(&self.file) => Origin::File,
            () => Origin::Default,
        }
    }

    /// Settings as a file that can be read again, in which each line says where its value comes from.
    pub fn print(&self, settings: &Settings, shared: &Shared) -> Result<String> {
        Ok(annotated(&settings.to_yaml()?, |name| self.origin(name, shared)))
    }
}

/// YAML of settings with a comment at each of them. A setting stands in a line of its own, or begins there.
fn annotated(yaml: &str, origin: impl Fn(&str) -> Origin) -> String {
    // What the line is in, each with how far it is indented.
    let (mut sections, mut text) = (Vec::<(usize, &str)>::new(), String::new());
    let mut within_value: Option<usize> = None;
    for line in yaml.lines() {
        let indent = line.len() - line.trim_start_matches(' ').len();
        within_value.take_if(|of| indent <= *of && !line.trim().is_empty());
        let setting = if within_value.is_some() { None } else { line.trim_start().split_once(':') };
        text += line;
        if let Some((key, value)) = setting {
            sections.retain(|(outer, _)| *outer < indent);
            sections.push((indent, key));
            let value = value.trim();
            if value.starts_with(['|', '>']) {
                within_value = Some(indent);
            } else if !value.is_empty() {
                let name = sections.iter().map(|(_, key)| *key).collect::<Vec<_>>().join(".");
                text += &format!("  # {}", origin(&name));
            }
        }
        text.push('\n');
    }
    text
}

/// What a settings file holds, by a parser that a file cannot make use memory or stack without bound.
fn read_file(file: &Path) -> Result<Map<String, Value>> {
    let name = file.display();
    let text = fs::read_to_string(file).with_context(|| format!("{name} cannot be read"))?;
    // A rate that is `off` is no boolean.
    let options = serde_saphyr::options! { strict_booleans: true };
    let settings = serde_saphyr::from_str_with_options::<Option<_>>(&text, options);
    let settings = settings.with_context(|| format!("{name} is no settings file"))?;
    let (settings, known) = (settings.unwrap_or_default(), serde_json::to_value(Settings::default())?);
    check_names(&settings, &known, "").with_context(|| format!("{name} is no settings file"))?;
    Ok(settings)
}

/// Whether each name is one of a setting. (The library takes names for paths, of which some are very long.)
fn check_names(found: &Map<String, Value>, known: &Value, section: &str) -> Result<()> {
    for (name, value) in found {
        let full = format!("{section}{name}");
        let Some(known) = known.get(name) else { bail!("there is no setting {full:?}") };
        match value {
            Value::Object(found) => check_names(found, known, &format!("{full}."))?,
            Value::Array(_) => bail!("{full} is no list"),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::super::SERVE_LOG;
    use super::*;

    fn sources(file: &str, flags: &[Override]) -> Sources {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("settings.yaml");
        fs::write(&path, file).expect("room");
        Sources::read(Some(&path), flags, SERVE_LOG).expect("settings")
    }

    fn shared(values: &[(&str, &str)]) -> Shared {
        values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_bucket_wins_over_the_file_and_flags_over_both() {
        let sources = sources("rates: {codes: 1/m, accounts: 1/m}\nshop: {order_units_max: 5}", &[("rates.codes", Some("3/m"))]);
        let bucket = shared(&[("rates.codes", "2/m"), ("rates.accounts", "2/m"), ("shop.payment_time_max", "5m")]);
        let settings = sources.settings(&bucket).expect("settings");
        assert_eq!([settings.rates.codes, settings.rates.accounts].map(|rate| rate.to_string()), ["3/m", "2/m"]);
        assert_eq!((settings.shop.payment_time_max.as_secs(), settings.shop.order_units_max), (300, 5));
        let origins = [
            ("rates.codes", Origin::Flag),
            ("rates.accounts", Origin::Bucket),
            ("shop.payment_time_max", Origin::Bucket),
            ("shop.order_units_max", Origin::File),
            ("shop.unpaid_orders_max", Origin::Default),
            ("telemetry.log", Origin::Default),
        ];
        for (name, origin) in origins {
            assert_eq!(sources.origin(name, &bucket), origin, "{name}");
        }
        let none = Shared::new();
        let alone = sources.settings(&none).expect("settings");
        assert_eq!(alone.rates.accounts.to_string(), "1/m");
        assert_eq!(sources.origin("rates.accounts", &none), Origin::File);
    }

    #[test]
    fn what_is_shared_is_settings_or_is_refused() {
        let sources = sources("", &[]);
        for (name, value) in [
            ("shop.order_units_max", "many"),
            ("shop.payment_time_max", "2days"),
            ("ingress.calls_max", "0"),
            ("rates.codes", "1/d"),
            ("telemetry.log", "info,a=b=c"),
            ("no.such", "1"),
            ("rates", "1/s"),
        ] {
            let refused = sources.settings(&shared(&[(name, value)])).map(drop).expect_err(name);
            assert!(refused.is::<Unacceptable>(), "{refused:#}");
        }
    }

    #[test]
    fn each_line_says_where_its_value_comes_from_and_is_read_as_before() {
        let text = "payment: {webhook_secret_file: f, pay_url: \"a: # b\\n  c: |\\n\\n d\"}\nnats: {url: 'h # x'}\nown: null";
        let sources = sources(text, &[("admin.listen", Some("off"))]);
        let bucket = shared(&[("rates.codes", "2/m")]);
        let settings = sources.settings(&bucket).expect("settings");
        assert_eq!(settings.payment.pay_url.as_deref(), Some("a: # b\n  c: |\n\n d"));
        let printed = sources.print(&settings, &bucket).expect("YAML");
        for line in
            ["  listen: \"off\"  # flag", "  codes: 2/m  # bucket", "  webhook_secret_file: f  # file", "role: all  # default"]
        {
            assert!(printed.lines().any(|printed| printed == line), "{line:?} is missing in:\n{printed}");
        }
        let again: Value = serde_saphyr::from_str(&printed).expect("YAML");
        assert_eq!(again, serde_json::to_value(&settings).expect("JSON"));
    }
}
