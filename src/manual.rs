//! `emshop completions` and `emshop man`: what a shell and `man` know of the command line, made from what reads it.

use std::fs;
use std::io::{self, Write};

use anyhow::{Context, Result};
use clap::CommandFactory;

use crate::cli::{Cli, CompletionsFlags, ManFlags};
use crate::exit::ExitCode;

/// # Errors
/// When nobody takes the script.
pub fn completions(flags: &CompletionsFlags) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(flags.shell, &mut Cli::command(), env!("CARGO_BIN_NAME"), &mut script);
    io::stdout().write_all(&script).context("the script cannot be written")?;
    Ok(ExitCode::SUCCESS)
}

/// # Errors
/// When the pages cannot be written.
pub fn pages(flags: &ManFlags) -> Result<ExitCode> {
    let written = fs::create_dir_all(&flags.to).and_then(|()| clap_mangen::generate_to(Cli::command(), &flags.to));
    written.with_context(|| format!("no pages can be written to {}", flags.to.display()))?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::{Command, ValueEnum};
    use clap_complete::Shell;
    use tempfile::TempDir;

    use super::*;

    /// With those below it, as they are when they are asked for help.
    fn commands() -> Vec<Command> {
        let mut root = Cli::command().disable_help_subcommand(true);
        root.build();
        let mut found = vec![root];
        let mut next = 0;
        while let Some(command) = found.get(next) {
            let below: Vec<_> = command.get_subcommands().cloned().collect();
            found.extend(below);
            next += 1;
        }
        found
    }

    #[test]
    fn every_command_and_flag_says_what_it_is() {
        let commands = commands();
        assert!(commands.len() > 10, "they are found");
        for command in &commands {
            let name = command.get_display_name().unwrap_or_else(|| command.get_name());
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            assert!(!about.trim().is_empty(), "{name} does not say what it does");
            for flag in command.get_arguments() {
                let help = flag.get_help().map(ToString::to_string).unwrap_or_default();
                assert!(!help.trim().is_empty(), "{name}: {} does not say what it is", flag.get_id());
            }
        }
    }

    #[test]
    fn every_command_has_a_page_with_its_flags() {
        let folder = TempDir::new().expect("a folder");
        let to = folder.path().join("man/man1");
        pages(&ManFlags { to: to.clone() }).expect("they are written");
        let commands = commands();
        assert_eq!(fs::read_dir(&to).expect("they are there").count(), commands.len());
        for command in &commands {
            let name = command.get_display_name().unwrap_or_else(|| command.get_name());
            let page = fs::read_to_string(to.join(format!("{name}.1"))).unwrap_or_else(|error| panic!("{name}: {error}"));
            for long in command.get_arguments().filter_map(clap::Arg::get_long) {
                let flag = format!("--{long}").replace('-', "\\-");
                assert!(page.contains(&flag), "{name}: nothing is said of {flag}");
            }
        }
    }

    #[test]
    fn every_shell_knows_every_command() {
        for shell in Shell::value_variants() {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), env!("CARGO_BIN_NAME"), &mut script);
            let script = String::from_utf8(script).expect("UTF-8");
            for command in commands().iter().skip(1) {
                assert!(script.contains(command.get_name()), "{shell}: {} is missing", command.get_name());
            }
        }
    }
}
