//! What is asked before something is changed, and the key under which it is.

use std::io::{self, IsTerminal, Write};

use anyhow::{Result, bail};
use clap::CommandFactory;
use clap::error::ErrorKind;
use serde_json::Value;

use crate::cli::{Cli, RepairFlags};

/// Has whoever is at the terminal agree, unless they have said yes already, and gives the key to do it under. `what` says what is to be
/// done, and is made only where somebody reads it.
///
/// # Errors
/// When they do not agree.
pub async fn agreed(flags: &RepairFlags, what: impl AsyncFnOnce() -> Result<String>) -> Result<String> {
    if !flags.yes {
        if !io::stdin().is_terminal() {
            let sentence = "there is no terminal at which somebody could agree: say that it is to be done (--yes)";
            Cli::command().error(ErrorKind::MissingRequiredArgument, sentence).exit();
        }
        if !ask(&what().await?)? {
            bail!("nothing was done");
        }
    }
    let key = flags.key.clone().unwrap_or_else(|| format!("cli-{:032x}", rand::random::<u128>()));
    // Before it is sent: who does not get to know what came of it sends it again under this key.
    eprintln!("idempotency key: {key}");
    Ok(key)
}

fn ask(what: &str) -> Result<bool> {
    eprint!("{what} [y/N] ");
    io::stderr().flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}

/// An answer with the key in it.
pub fn with_key(key: &str, mut answer: Value) -> Value {
    answer["idempotency_key"] = key.into();
    answer
}
