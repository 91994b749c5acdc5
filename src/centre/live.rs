//! A running process follows the settings that all share: what changes in the bucket is in force here within a second.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use emshop_engine::Limiter;
use emshop_ingress::Adjust;
use emshop_log::jetstream::{Revision, SettingsBucket};
use emshop_telemetry::traces::Traces;
use emshop_telemetry::{Counter, Gauge, Registry, catalogue};
use tokio::time::sleep;

use super::document::{self, Strange};
use crate::config::{Settings, Shared, Sources};
use crate::telemetry;

/// How often a process looks whether something has changed.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Settings that one part goes by, which may change while it runs.
struct Group {
    settings: &'static [&'static str],
    /// Has it go by these.
    apply: fn(&Parts, &Settings),
}

/// All settings that may change while a process runs, and how a change gets to the part that goes by them.
const LIVE: &[Group] = &[
    Group { settings: &["telemetry.log"], apply: |_, settings| telemetry::filter(&settings.telemetry.log) },
    Group {
        settings: &["telemetry.otlp.sampling"],
        apply: |parts, settings| parts.traces.sample(settings.telemetry.otlp.sampling),
    },
    Group {
        settings: &["shop.unpaid_orders_max", "shop.order_units_max", "shop.payment_time_max"],
        apply: |parts, settings| parts.engines.iter().for_each(|engine| engine.limit(settings.shop_limits())),
    },
    Group {
        settings: &["ingress.reads_max", "ingress.calls_max", "ingress.streamed_max", "ingress.bytes_max"],
        apply: |parts, settings| parts.ingress.iter().for_each(|ingress| ingress.under_way(settings.under_way())),
    },
    Group {
        settings: &["ingress.connections_max", "ingress.connections_per_address_max", "ingress.connection_age_max"],
        apply: |parts, settings| {
            parts.ingress.iter().for_each(|ingress| match settings.connection_limits() {
                Ok(limits) => ingress.connections(limits),
                Err(error) => tracing::error!("the bounds of connections stay as they were: {error:#}"),
            });
        },
    },
    Group {
        settings: &[
            "rates.accounts_per_address",
            "rates.accounts",
            "rates.reads_per_address",
            "rates.calls_per_user",
            "rates.attempts_per_mobile",
            "rates.codes",
            "rates.proxies",
        ],
        apply: |parts, settings| parts.ingress.iter().for_each(|ingress| ingress.rates(settings.rate_limits())),
    },
];

/// Their names.
pub fn names() -> impl Iterator<Item = &'static str> {
    LIVE.iter().flat_map(|group| group.settings).copied()
}

/// Those of the shared values that this release lets change, and the names of the others: a newer one has written them.
pub fn known(shared: &Shared) -> (Shared, Vec<String>) {
    let (known, unknown): (Shared, Shared) = shared.clone().into_iter().partition(|(name, _)| names().any(|it| it == name));
    (known, unknown.into_keys().collect())
}

/// What runs in this process and goes by settings.
#[derive(Default)]
struct Parts {
    ingress: Option<Adjust>,
    engines: Vec<Limiter>,
    traces: Traces,
}

/// The settings of this process as they are now. Clones are of the same process.
#[derive(Clone)]
pub struct Live {
    bucket: SettingsBucket,
    state: Arc<Mutex<State>>,
}

struct State {
    sources: Sources,
    settings: Settings,
    /// The last message that was seen.
    last: Option<Revision>,
    parts: Parts,
    metrics: Metrics,
}

struct Metrics {
    applied: Gauge,
    refused: Gauge,
    strange: Counter,
}

impl Metrics {
    fn new(registry: &Registry) -> Self {
        Self {
            applied: registry.gauge(&catalogue::CONFIG_REVISION, &[]),
            refused: registry.gauge(&catalogue::CONFIG_REFUSED, &[]),
            strange: registry.counter(&catalogue::CONFIG_STRANGE, &[]),
        }
    }
}

impl Live {
    /// Of a process with settings of its own, before any part of it has started.
    ///
    /// # Errors
    /// When the bucket cannot be read.
    pub async fn start(
        sources: &Sources,
        settings: &Settings,
        bucket: SettingsBucket,
        registry: &Registry,
        traces: &Traces,
    ) -> Result<Self> {
        let there = if bucket.is_there().await? { bucket.since(0).await? } else { Vec::new() };
        let mut state = State::new(sources.clone(), settings.clone(), registry);
        state.parts.traces = traces.clone();
        state.take(there);
        Ok(Self { bucket, state: Arc::new(Mutex::new(state)) })
    }

    /// What holds now.
    pub fn settings(&self) -> Settings {
        self.state().settings.clone()
    }

    /// From now on this ingress goes by what holds, which was started by settings of before.
    pub fn lead_ingress(&self, ingress: Adjust, before: &Settings) {
        let mut state = self.state();
        state.parts.ingress = Some(ingress);
        state.apply(before);
    }

    /// From now on this engine does.
    pub fn lead_engine(&self, engine: Limiter, before: &Settings) {
        let mut state = self.state();
        state.parts.engines.push(engine);
        state.apply(before);
    }

    /// Takes what changes, for ever. While the bucket cannot be read, what was known holds.
    pub async fn follow(self) {
        loop {
            sleep(LOOK_AGAIN).await;
            let last = self.state().last.clone();
            // The last one is looked at again: a server that has lost its newest messages gives their numbers to others.
            let found = match self.bucket.since(last.as_ref().map_or(0, |last| last.number - 1)).await {
                Ok(found) => found,
                Err(error) => {
                    tracing::debug!(%error, "whether settings have changed is not known");
                    continue;
                }
            };
            match (last, found.first()) {
                (None, _) => self.state().take(found),
                (Some(last), Some(first)) if last == *first => self.state().take(found[1..].to_vec()),
                // All of it is read again.
                _ => self.state().last = None,
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn new(sources: Sources, settings: Settings, registry: &Registry) -> Self {
        let (parts, metrics) = (Parts::default(), Metrics::new(registry));
        metrics.applied.set(0.0);
        metrics.refused.set(0.0);
        Self { sources, settings, last: None, parts, metrics }
    }

    /// Goes by the newest of these that is acceptable here.
    fn take(&mut self, revisions: Vec<Revision>) {
        let (mut newest, mut refused) = (None, None);
        for revision in &revisions {
            let number = revision.number;
            match document::read(revision) {
                Ok(document) => match self.sources.settings(&known(&document.settings).0) {
                    Ok(settings) => (newest, refused) = (Some((number, document, settings)), None),
                    Err(error) => refused = Some((number, document, error)),
                },
                Err(strange) => {
                    if strange == Strange::Unsealed {
                        self.metrics.strange.inc();
                    }
                    tracing::error!(target: "security", revision = number, "a value in the bucket of settings counts for nothing: {strange}");
                }
            }
        }
        if let Some((number, document, settings)) = newest {
            let (_, unknown) = known(&document.settings);
            if !unknown.is_empty() {
                tracing::warn!(
                    revision = number,
                    "settings that this release does not know are left out: {}",
                    unknown.join(", ")
                );
            }
            let before = std::mem::replace(&mut self.settings, settings);
            self.metrics.applied.set(number as f64);
            self.metrics.refused.set(0.0);
            let changes = changes(&before, &self.settings).join(", ");
            tracing::info!(revision = number, by = document.by, changes, "goes by the settings of the cluster");
            self.apply(&before);
        }
        if let Some((number, document, error)) = refused {
            self.metrics.refused.set(1.0);
            tracing::error!(
                revision = number,
                change = document.says(),
                "the settings of the cluster do not go together with those of this process, which stay as they were: {error:#}"
            );
        }
        if let Some(last) = revisions.into_iter().next_back() {
            self.last = Some(last);
        }
    }

    /// Has the parts go by what holds that went by `before`.
    fn apply(&self, before: &Settings) {
        for group in LIVE {
            if group.settings.iter().any(|name| before.value(name) != self.settings.value(name)) {
                (group.apply)(&self.parts, &self.settings);
            }
        }
    }
}

/// What is another value in this process, in words.
fn changes(before: &Settings, after: &Settings) -> Vec<String> {
    let value = |settings: &Settings, name: &str| settings.value(name).unwrap_or_default();
    names()
        .map(|name| (name, value(before, name), value(after, name)))
        .filter(|(_, before, after)| before != after)
        .map(|(name, before, after)| format!("{name} {before} -> {after}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::document::{Change, Document};
    use super::*;
    use crate::config::SERVE_LOG;

    fn state() -> (State, Registry) {
        let registry = Registry::new();
        let flags =
            [("rates.codes", Some("7/m")), ("role", Some("engine")), ("nats.url", Some("u")), ("cluster.key_file", Some("k"))];
        let sources = Sources::bare(&flags, SERVE_LOG).expect("settings");
        let settings = sources.settings(&Shared::new()).expect("settings");
        (State::new(sources, settings, &registry), registry)
    }

    fn revision(number: u64, values: &[(&str, &str)]) -> Revision {
        let settings = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let change = Change { name: "x".to_owned(), before: None, after: None };
        let document = Document { settings, change, by: "me".to_owned(), at_ms: 0 };
        Revision { number, document: Some(serde_json::to_vec(&document).expect("JSON").into()) }
    }

    /// Applied, refused, strange.
    fn told(registry: &Registry) -> [String; 3] {
        let text = registry.text();
        let names = ["emshop_config_applied_revision ", "emshop_config_refused ", "emshop_config_strange_total "];
        names.map(|name| text.lines().find_map(|line| line.strip_prefix(name)).expect("it is measured").to_owned())
    }

    #[test]
    fn every_setting_that_may_change_is_one_and_stands_there_once() {
        let settings = Settings::default();
        let mut all: Vec<_> = names().collect();
        assert!(all.iter().all(|name| settings.value(name).is_some()), "{all:?}");
        all.sort_unstable();
        assert!(all.is_sorted_by(|one, next| one < next), "{all:?}");
    }

    #[test]
    fn the_newest_that_is_acceptable_is_in_force() {
        let (mut state, registry) = state();
        assert_eq!(told(&registry), ["0", "0", "0"]);
        state.take(vec![
            revision(1, &[("shop.order_units_max", "3")]),
            revision(2, &[("shop.order_units_max", "4"), ("rates.codes", "1/m"), ("of.a.newer.release", "?")]),
        ]);
        assert_eq!((state.settings.shop.order_units_max, state.settings.rates.codes.to_string()), (4, "7/m".to_owned()));
        assert_eq!(told(&registry), ["2", "0", "0"]);

        state.take(vec![revision(3, &[("shop.order_units_max", "many")])]);
        assert_eq!((state.settings.shop.order_units_max, told(&registry)), (4, ["2", "1", "0"].map(str::to_owned)));
        state
            .take(vec![Revision { number: 4, document: None }, Revision { number: 5, document: Some(Bytes::from_static(b"?")) }]);
        assert_eq!((state.settings.shop.order_units_max, told(&registry)), (4, ["2", "1", "1"].map(str::to_owned)));
        assert_eq!(state.last.as_ref().map(|last| last.number), Some(5));
        state.take(vec![revision(6, &[])]);
        assert_eq!((state.settings.shop.order_units_max, told(&registry)), (1_000, ["6", "0", "1"].map(str::to_owned)));
    }

    #[test]
    fn changes_are_those_of_this_process() {
        let (state, _) = state();
        let values = [("rates.codes".to_owned(), "1/m".to_owned()), ("shop.payment_time_max".to_owned(), "5m".to_owned())];
        let after = state.sources.settings(&values.into()).expect("settings");
        assert_eq!(changes(&state.settings, &after), ["shop.payment_time_max 30m -> 5m"]);
    }
}
