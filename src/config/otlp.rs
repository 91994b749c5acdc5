//! Settings of traces.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use super::SecretUrl;

/// Where spans of traced calls go, by OpenTelemetry's protocol; nowhere without an endpoint, and then nothing is paid for them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Otlp {
    /// Address of a collector that takes spans by OTLP over gRPC, such as `http://127.0.0.1:4317`; nothing is traced without.
    pub endpoint: Option<SecretUrl>,
    /// Share of the calls that are traced though their callers do not say so, from 0 to 1. A call whose caller traces it is traced in any case.
    pub sampling: f64,
}

impl Otlp {
    pub(super) fn check(&self) -> Result<()> {
        ensure!((0.0..=1.0).contains(&self.sampling), "telemetry.otlp.sampling must be a share from 0 to 1");
        Ok(())
    }
}
