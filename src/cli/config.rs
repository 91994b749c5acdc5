//! Flags of `emshop config`.

use clap::{Args, Subcommand};

use super::looks::Form;
use super::{Override, SETTINGS};

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Show the settings that may change while processes run, and where each comes from
    #[command(after_help = SETTINGS)]
    Get(GetFlags),
    /// Set one for all processes, which go by it within a second
    #[command(after_help = SETTINGS)]
    Set(SetFlags),
    /// Leave one to each process again
    #[command(after_help = SETTINGS)]
    Unset(UnsetFlags),
    /// Show what was changed, and by whom, newest first
    #[command(after_help = SETTINGS)]
    History(GetFlags),
    /// Print each change as it comes
    #[command(after_help = SETTINGS)]
    Watch(ShopFlags),
}

#[derive(Debug, Args)]
pub struct GetFlags {
    /// Name of a setting, such as rates.calls_per_user
    pub name: Option<String>,
    /// For people, or for programs
    #[arg(short, long, value_name = "FORM", default_value = "table")]
    pub output: Form,
    #[command(flatten)]
    shop: ShopFlags,
}

#[derive(Debug, Args)]
pub struct SetFlags {
    /// Name of a setting, such as rates.calls_per_user
    pub name: String,
    /// Its value, as a settings file has it
    #[arg(allow_hyphen_values = true)]
    pub value: String,
    #[command(flatten)]
    pub change: ChangeFlags,
}

#[derive(Debug, Args)]
pub struct UnsetFlags {
    /// Name of a setting
    pub name: String,
    #[command(flatten)]
    pub change: ChangeFlags,
}

#[derive(Debug, Args)]
pub struct ChangeFlags {
    /// Only if the settings are still at this revision
    #[arg(long, value_name = "N")]
    pub revision: Option<u64>,
    /// Who does it: the history and the audit trail have it, beside the user and the host of this machine
    #[arg(long, value_name = "NAME", value_parser = name_of_somebody)]
    pub by: Option<String>,
    #[command(flatten)]
    shop: ShopFlags,
}

/// Where the shop is.
#[derive(Debug, Args)]
pub struct ShopFlags {
    /// Data folder of the shop
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// NATS server of the shop [default: that of the data folder]
    #[arg(long, value_name = "URL")]
    nats: Option<String>,
    /// File of the cluster's key [default: cluster.key in the data folder]
    #[arg(long, value_name = "FILE")]
    cluster_key_file: Option<String>,
}

impl ShopFlags {
    pub fn overrides(&self) -> Vec<Override<'_>> {
        vec![
            ("data", self.data.as_deref()),
            ("nats.url", self.nats.as_deref()),
            ("cluster.key_file", self.cluster_key_file.as_deref()),
        ]
    }
}

impl ConfigCommand {
    pub fn shop(&self) -> &ShopFlags {
        match self {
            Self::Get(flags) | Self::History(flags) => &flags.shop,
            Self::Set(flags) => &flags.change.shop,
            Self::Unset(flags) => &flags.change.shop,
            Self::Watch(flags) => flags,
        }
    }
}

/// Stands in a line with others.
fn name_of_somebody(name: &str) -> Result<String, String> {
    let is_name = (1..=64).contains(&name.len()) && !name.chars().any(char::is_control);
    if is_name { Ok(name.to_owned()) } else { Err("a name has 1 to 64 bytes, in one line".to_owned()) }
}
