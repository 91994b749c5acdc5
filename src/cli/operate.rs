//! Flags of what operators look up and repair over the API.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::builder::{NonEmptyStringValueParser, PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand, ValueEnum};
use emshop_proto::commands::KEY_BYTES_MAX;
use emshop_proto::v1::{OrderStatus, WaitsFor};
use prost_types::Timestamp;

use super::{Form, Override, TlsFlags};

/// How the API is reached, as whom, and how what it says is printed.
#[derive(Debug, Args)]
pub struct ApiFlags {
    /// Address of the gRPC API, such as `https://shop.example:50051` [default: where `emshop serve` listens with the same settings]
    #[arg(long, value_name = "URL")]
    pub api: Option<String>,
    #[command(flatten)]
    pub tls: TlsFlags,
    /// File with the token of one of the staff [default: EMSHOP_TOKEN, or one that is signed for this call with the key of the data folder]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["data", "key_file", "operator"])]
    pub token_file: Option<PathBuf>,
    /// Data folder with the key that tokens are signed with
    #[arg(long, value_name = "DIR", conflicts_with = "key_file")]
    data: Option<String>,
    /// File of the key that tokens are signed with
    #[arg(long, value_name = "FILE")]
    key_file: Option<String>,
    /// Whom the shop is to note as who asks, where the token is signed here
    #[arg(long = "as", value_name = "USER_ID", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub operator: u64,
    /// For people, or for programs
    #[arg(short, long, value_name = "FORM", default_value = "table")]
    pub output: Form,
}

impl ApiFlags {
    /// Whether they say which key a token is to be signed with.
    pub fn names_key(&self) -> bool {
        self.data.is_some() || self.key_file.is_some()
    }

    pub fn overrides(&self) -> Vec<Override<'_>> {
        vec![("data", self.data.as_deref()), ("auth.key_file", self.key_file.as_deref())]
    }
}

/// How a repair is agreed to, and told from any other.
#[derive(Debug, Args)]
pub struct RepairFlags {
    /// Do it without asking
    #[arg(short, long)]
    pub yes: bool,
    /// Idempotency key: what is sent again under the same one is done once [default: one that is made, and told]
    #[arg(long, value_name = "KEY", value_parser = key)]
    pub key: Option<String>,
}

/// A part of a list.
#[derive(Debug, Args)]
pub struct PageFlags {
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub limit: u32,
    /// Where a list before ended, as it said
    #[arg(long, value_name = "TOKEN", default_value = "", hide_default_value = true)]
    pub page: String,
}

#[derive(Debug, Subcommand)]
pub enum OrdersCommand {
    /// Show an order
    Get(OrderFlags),
    /// List the orders of a user, newest first
    List(ListOrdersFlags),
    /// List orders that wait for somebody and have for too long
    Waiting(WaitingFlags),
    /// Show what happened to an order: changes of its status, steps of its sagas, and who did what
    History(OrderFlags),
    /// Cancel an order: releases its stock, and refunds what was paid; before its parcel is shipped
    Cancel(ReasonedFlags),
    /// Refund a part of what an order was paid, or all that is left of it
    Refund(RefundFlags),
    /// Accept a return, once the goods are back, or decline it
    ResolveReturn(ResolveReturnFlags),
}

impl OrdersCommand {
    pub fn api(&self) -> &ApiFlags {
        match self {
            Self::Get(flags) | Self::History(flags) => &flags.api,
            Self::List(flags) => &flags.api,
            Self::Waiting(flags) => &flags.api,
            Self::Cancel(flags) => &flags.api,
            Self::Refund(flags) => &flags.api,
            Self::ResolveReturn(flags) => &flags.api,
        }
    }
}

#[derive(Debug, Args)]
pub struct OrderFlags {
    /// Id of the order
    #[arg(value_name = "ORDER_ID")]
    pub order: String,
    #[command(flatten)]
    pub api: ApiFlags,
}

#[derive(Debug, Args)]
pub struct ListOrdersFlags {
    /// Whose orders
    #[arg(long, value_name = "USER_ID")]
    pub user: u64,
    /// Those of this status alone; of several if given more than once
    #[arg(long, value_name = "STATUS", value_parser = statuses())]
    pub status: Vec<OrderStatus>,
    /// Created at this time or later: such as 2026-11-27T08:00:00Z, or how long ago, such as 2h
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub from: Option<SystemTime>,
    /// Created before this time
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub before: Option<SystemTime>,
    #[command(flatten)]
    pub page: PageFlags,
    #[command(flatten)]
    pub api: ApiFlags,
}

#[derive(Debug, Args)]
pub struct WaitingFlags {
    /// What they wait for [default: anything]
    #[arg(long = "for", value_name = "WHAT", value_parser = waits())]
    pub waits_for: Option<WaitsFor>,
    /// For how long at least nothing has happened to them [default: 7d, or 0s where they wait for an operator]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub longer_than: Option<Duration>,
    #[command(flatten)]
    pub page: PageFlags,
    #[command(flatten)]
    pub api: ApiFlags,
}

/// A repair of an order that says why.
#[derive(Debug, Args)]
pub struct ReasonedFlags {
    /// Id of the order
    #[arg(value_name = "ORDER_ID")]
    pub order: String,
    /// Why: it stays with the order
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    pub reason: String,
    #[command(flatten)]
    pub repair: RepairFlags,
    #[command(flatten)]
    pub api: ApiFlags,
}

#[derive(Debug, Args)]
pub struct RefundFlags {
    /// Id of the order
    #[arg(value_name = "ORDER_ID")]
    pub order: String,
    /// How much, in the smallest unit of its currency: 1999 is 19.99 [default: all that is left, which takes the order back]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    pub amount_minor: Option<i64>,
    /// Why: it stays in the log of the payment
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    pub reason: String,
    #[command(flatten)]
    pub repair: RepairFlags,
    #[command(flatten)]
    pub api: ApiFlags,
}

/// What becomes of a return.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Verdict {
    Accept,
    Decline,
}

#[derive(Debug, Args)]
pub struct ResolveReturnFlags {
    /// Id of the order
    #[arg(value_name = "ORDER_ID")]
    pub order: String,
    /// What becomes of the return
    #[arg(value_name = "VERDICT")]
    pub verdict: Verdict,
    /// Why: it stays in the order's history
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    pub reason: String,
    #[command(flatten)]
    pub repair: RepairFlags,
    #[command(flatten)]
    pub api: ApiFlags,
}

#[derive(Debug, Subcommand)]
pub enum StockCommand {
    /// Show the stock of some goods
    Get(GoodsFlags),
    /// List the stock of all goods, by ascending id
    List(ListStockFlags),
    /// List goods that are at their threshold or below it
    Low(ListStockFlags),
    /// Show every change of the stock of goods, newest first
    History(StockHistoryFlags),
    /// Set what is there, reserved units included, as after a stock-take
    Set(SetStockFlags),
    /// Add units that came in, or take units away
    Adjust(AdjustStockFlags),
    /// Set the number of free units at which the stock counts as low
    SetThreshold(SetThresholdFlags),
}

impl StockCommand {
    pub fn api(&self) -> &ApiFlags {
        match self {
            Self::Get(flags) => &flags.api,
            Self::List(flags) | Self::Low(flags) => &flags.api,
            Self::History(flags) => &flags.api,
            Self::Set(flags) => &flags.api,
            Self::Adjust(flags) => &flags.api,
            Self::SetThreshold(flags) => &flags.api,
        }
    }
}

#[derive(Debug, Args)]
pub struct GoodsFlags {
    /// Ids of the goods
    #[arg(value_name = "GOODS_ID", required = true)]
    pub goods: Vec<u64>,
    #[command(flatten)]
    pub api: ApiFlags,
}

#[derive(Debug, Args)]
pub struct ListStockFlags {
    #[command(flatten)]
    pub page: PageFlags,
    #[command(flatten)]
    pub api: ApiFlags,
}

#[derive(Debug, Args)]
pub struct StockHistoryFlags {
    /// Id of the goods
    #[arg(value_name = "GOODS_ID")]
    pub goods: u64,
    #[command(flatten)]
    pub page: PageFlags,
    #[command(flatten)]
    pub api: ApiFlags,
}

#[derive(Debug, Args)]
pub struct SetStockFlags {
    /// Id of the goods
    #[arg(value_name = "GOODS_ID")]
    pub goods: u64,
    /// How many are there
    #[arg(value_name = "UNITS")]
    pub units: u64,
    #[command(flatten)]
    pub repair: RepairFlags,
    #[command(flatten)]
    pub api: ApiFlags,
}

#[derive(Debug, Args)]
pub struct AdjustStockFlags {
    /// Id of the goods
    #[arg(value_name = "GOODS_ID")]
    pub goods: u64,
    /// How many more, or less if it is negative
    #[arg(value_name = "UNITS", allow_negative_numbers = true)]
    pub delta: i64,
    #[command(flatten)]
    pub repair: RepairFlags,
    #[command(flatten)]
    pub api: ApiFlags,
}

#[derive(Debug, Args)]
pub struct SetThresholdFlags {
    /// Id of the goods
    #[arg(value_name = "GOODS_ID")]
    pub goods: u64,
    /// Number of free units, or 0 for no threshold
    #[arg(value_name = "UNITS")]
    pub units: u64,
    #[command(flatten)]
    pub repair: RepairFlags,
    #[command(flatten)]
    pub api: ApiFlags,
}

#[derive(Debug, Subcommand)]
pub enum SagasCommand {
    /// List orders whose saga is stuck, or has waited for another log
    List(ListSagasFlags),
    /// Show how the saga of an order stands, step by step
    Get(OrderFlags),
    /// Try the step again at which a saga is stuck, once its cause is removed
    Retry(ReasonedFlags),
    /// Go on without what another log will never take back; the stock there is yours to put right
    WriteOff(WriteOffFlags),
}

impl SagasCommand {
    pub fn api(&self) -> &ApiFlags {
        match self {
            Self::List(flags) => &flags.api,
            Self::Get(flags) => &flags.api,
            Self::Retry(flags) => &flags.api,
            Self::WriteOff(flags) => &flags.api,
        }
    }
}

/// How a saga stands that is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Standing {
    /// It waits for an operator
    Stuck,
    /// It waits for the engine of another log
    Running,
}

#[derive(Debug, Args)]
pub struct ListSagasFlags {
    /// How they stand
    #[arg(long, value_name = "STATUS", default_value = "stuck")]
    pub status: Standing,
    /// For how long at least nothing has happened to them [default: 0s, or 1s where they run]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub longer_than: Option<Duration>,
    #[command(flatten)]
    pub page: PageFlags,
    #[command(flatten)]
    pub api: ApiFlags,
}

#[derive(Debug, Args)]
pub struct WriteOffFlags {
    /// Id of the order
    #[arg(value_name = "ORDER_ID")]
    pub order: String,
    /// Version of the order that you have looked at, as `sagas list` and `sagas get` tell it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub version: u32,
    /// Why: it stays in the order's timeline
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    pub reason: String,
    #[command(flatten)]
    pub repair: RepairFlags,
    #[command(flatten)]
    pub api: ApiFlags,
}

/// What follows the prefix in the name of a value of an enum, as people write it.
fn word(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_lowercase().replace('_', "-")
}

fn statuses() -> impl TypedValueParser<Value = OrderStatus> {
    let all: Vec<_> = (1..).map_while(|number| OrderStatus::try_from(number).ok()).collect();
    one_of(all, |status| word(status.as_str_name(), "ORDER_STATUS_"))
}

fn waits() -> impl TypedValueParser<Value = WaitsFor> {
    let all: Vec<_> = (1..).map_while(|number| WaitsFor::try_from(number).ok()).collect();
    one_of(all, |what| word(what.as_str_name(), "WAITS_FOR_"))
}

fn one_of<T: Copy + Send + Sync + 'static>(all: Vec<T>, name: fn(T) -> String) -> impl TypedValueParser<Value = T> {
    let names: Vec<_> = all.iter().map(|one| name(*one)).collect();
    PossibleValuesParser::new(names).map(move |given| *all.iter().find(|one| name(**one) == given).expect("one of the names"))
}

fn key(text: &str) -> Result<String, String> {
    let is_one = (1..=KEY_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_one { Ok(text.to_owned()) } else { Err(format!("it is 1 to {KEY_BYTES_MAX} visible ASCII characters")) }
}

/// A time, or how long ago it was.
fn moment(text: &str) -> Result<SystemTime, &'static str> {
    const NONE: &str = "it is a time since 1970 such as 2026-11-27T08:00:00Z, or how long ago, such as 2h";
    if let Ok(ago) = humantime::parse_duration(text) {
        return SystemTime::now().checked_sub(ago).filter(|time| *time >= UNIX_EPOCH).ok_or(NONE);
    }
    let Timestamp { seconds, nanos } = text.parse().map_err(|_| NONE)?;
    let (Ok(seconds), Ok(nanos)) = (seconds.try_into(), nanos.try_into()) else { return Err(NONE) };
    Ok(UNIX_EPOCH + Duration::new(seconds, nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_or_how_long_ago() {
        assert_eq!(moment("1970-01-01T00:00:01.5Z"), Ok(UNIX_EPOCH + Duration::from_millis(1_500)));
        let ago = SystemTime::now().duration_since(moment("2h").expect("a time")).expect("before now");
        assert!((7_199..7_260).contains(&ago.as_secs()), "{ago:?}");
        for text in ["", "yesterday", "1969-12-31T23:59:59Z", "9999y", "2026-13-01T00:00:00Z"] {
            assert!(moment(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_key_is_what_can_be_sent() {
        assert_eq!(key("ticket-4711").as_deref(), Ok("ticket-4711"));
        assert!(key(&"x".repeat(KEY_BYTES_MAX)).is_ok());
        for text in ["", "two words", "Straße", &"x".repeat(KEY_BYTES_MAX + 1)] {
            assert!(key(text).is_err(), "{text:?}");
        }
    }
}
