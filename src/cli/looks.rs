//! Flags of commands that change nothing.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use clap_complete::Shell;
use emshop_proto::events::EventType;

use super::{Override, TlsFlags};
use crate::consume::Begin;

#[derive(Debug, Args)]
pub struct ConsumeFlags {
    /// From where on: `start`, `end`, a sequence of the stream, or a time such as 2026-11-27T08:00:00Z
    #[arg(long, value_name = "WHERE", default_value = "start", value_parser = Begin::parse)]
    pub from: Begin,
    /// Go on with what comes, until it is stopped
    #[arg(long)]
    pub follow: bool,
    /// Events of this type alone; of several if given more than once
    #[arg(long = "type", value_name = "TYPE", value_parser = event_types())]
    pub types: Vec<EventType>,
    /// Events that tell of this order
    #[arg(long, value_name = "ORDER_ID")]
    pub order: Option<String>,
    /// Events that tell of this user, or of an order of theirs
    #[arg(long, value_name = "USER_ID")]
    pub user: Option<u64>,
    /// Events that tell of this goods entry, its stock, or an order of it
    #[arg(long, value_name = "GOODS_ID")]
    pub goods: Option<u64>,
    /// What `emshop consumer-credentials` has printed [default: the operator's login]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["data", "nats"])]
    pub credentials: Option<PathBuf>,
    /// Data folder of the shop
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// NATS server of the shop [default: that of the data folder]
    #[arg(long, value_name = "URL")]
    nats: Option<String>,
}

#[derive(Debug, Args)]
pub struct StatusFlags {
    /// For people, or for programs
    #[arg(short, long, value_name = "FORM", default_value = "table")]
    pub output: Form,
    /// Data folder of the shop
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// NATS server of the shop [default: that of the data folder]
    #[arg(long, value_name = "URL")]
    nats: Option<String>,
}

#[derive(Debug, Args)]
pub struct TopFlags {
    /// Admin port of a process, such as http://127.0.0.1:50052; once for each [default: that of the settings]
    #[arg(long, value_name = "URL")]
    pub admin: Vec<String>,
    #[command(flatten)]
    pub tls: TlsFlags,
    /// How often it is looked
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = interval)]
    pub interval: Duration,
    /// Look twice, print what was between, and end
    #[arg(long)]
    pub once: bool,
}

/// How something is printed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Form {
    Table,
    Json,
    Yaml,
}

#[derive(Debug, Args)]
pub struct CompletionsFlags {
    /// Which shell
    pub shell: Shell,
}

#[derive(Debug, Args)]
pub struct ManFlags {
    /// Folder for the pages, such as ~/.local/share/man/man1
    #[arg(value_name = "DIR")]
    pub to: PathBuf,
}

impl ConsumeFlags {
    pub fn overrides(&self) -> Vec<Override<'_>> {
        vec![("data", self.data.as_deref()), ("nats.url", self.nats.as_deref())]
    }
}

impl StatusFlags {
    pub fn overrides(&self) -> Vec<Override<'_>> {
        vec![("data", self.data.as_deref()), ("nats.url", self.nats.as_deref())]
    }
}

fn interval(text: &str) -> Result<Duration, &'static str> {
    const WRONG: &str = "it is a time from 100ms to an hour";
    let range = Duration::from_millis(100)..=Duration::from_secs(3_600);
    humantime::parse_duration(text).ok().filter(|interval| range.contains(interval)).ok_or(WRONG)
}

/// By their names, as subjects have them, or with an underscore in the middle.
fn event_types() -> impl TypedValueParser<Value = EventType> {
    let names = EventType::ALL.iter().map(|it| PossibleValue::new(it.name()).alias(it.name().replace('.', "_")));
    let of_name = |name: String| *EventType::ALL.iter().find(|it| it.name() == name.replace('_', ".")).expect("one of the names");
    PossibleValuesParser::new(names).map(of_name)
}
