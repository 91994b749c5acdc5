//! What is generated in docs/OPERATIONS.md. The table of settings: names and comments as the source has them, defaults as the binary prints
//! them. And the users of a nats-server, as the one has them that emshop starts.

use std::process::Command;

use config::{Config, Value};
use emshop_log::jetstream::users::accounts;
use emshop_testing::docs::{assert_section, table};
use emshop_testing::read;
use emshop_testing::source::{Part, Source};

/// Where settings are declared.
const SOURCES: [&str; 4] = ["src/config.rs", "src/config/discovery.rs", "src/config/oidc.rs", "src/config/otlp.rs"];

/// Where the binary is told that a user's data goes.
const DATA_HOME: &str = "/data-home";

#[test]
fn what_is_generated_is_fresh() {
    let sources = SOURCES.map(|path| Source::new(&read(path)));
    let (defaults, flags) = (defaults(), flags());
    let live = live();
    let rows = settings(&sources).into_iter().map(|setting| {
        let flag = flags.iter().find(|(name, _)| *name == setting.name).map(|(_, flag)| format!("`{flag}`"));
        let changes = if live.contains(&format!("\"{}\"", setting.name)) { "yes" } else { "" }.to_owned();
        let default = defaults.get::<Value>(&setting.name).ok().and_then(|value| value.into_string().ok());
        let default = default.filter(|default| default != "null" && default != "~");
        let default = default.map(|default| format!("`{}`", default.replace(DATA_HOME, "$XDG_DATA_HOME")));
        vec![
            format!("`{}`", setting.name),
            flag.unwrap_or_default(),
            default.unwrap_or_else(|| "–".to_owned()),
            changes,
            setting.doc,
        ]
    });
    assert_section(
        "docs/OPERATIONS.md",
        "settings",
        &table(&["setting", "flag", "default", "while it runs", "what it is"], rows),
    );
    let users = accounts(|user| format!("${}_PASSWORD", user.to_uppercase()));
    assert_section("docs/OPERATIONS.md", "nats-users", &format!("```\n{users}```\n"));
}

/// All settings by their full names. What a setting does not say of itself, its type says.
fn settings(sources: &[Source]) -> Vec<Part> {
    let fields = |name: &str| sources.iter().find_map(|source| source.fields(name));
    let doc_of = |name: &str| sources.iter().find_map(|source| source.doc(name)).unwrap_or_default();
    let mut found = fields("Settings").expect("the settings");
    // Sections have sections.
    while let Some(place) = found.iter().position(|part| fields(&part.kind).is_some()) {
        let section = found[place].clone();
        let parts = fields(&section.kind).expect("a section").into_iter();
        found.splice(place..=place, parts.map(|part| Part { name: format!("{}.{}", section.name, part.name), ..part }));
    }
    for setting in found.iter_mut().filter(|setting| setting.doc.is_empty()) {
        setting.doc = doc_of(&setting.kind);
        assert!(!setting.doc.is_empty(), "{} has a doc comment", setting.name);
    }
    found
}

/// The source that lists those that may change while a process runs.
fn live() -> String {
    let source = read("src/centre/live.rs");
    let list = source.split_once("const LIVE").expect("the list").1;
    list.split_once("];\n\n").expect("its end").0.to_owned()
}

fn defaults() -> Config {
    let mut command = Command::new(env!("CARGO_BIN_EXE_emshop"));
    command.args(["serve", "--print-config"]).env_clear().env("XDG_DATA_HOME", DATA_HOME);
    let output = command.output().expect("the binary runs");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let printed: serde_json::Value = serde_saphyr::from_str(&text).expect("YAML");
    Config::try_from(&printed).expect("settings by their names")
}

/// Settings and the flags of `emshop serve` that stand for them.
fn flags() -> Vec<(String, String)> {
    let source = read("src/cli.rs");
    let begin = source.find("impl ServeFlags").expect("flags of serve");
    let lines = source[begin..].lines().take_while(|line| *line != "}");
    let pairs = lines.filter_map(|line| line.trim().strip_prefix("(\"")?.strip_suffix(".as_deref()),")?.split_once("\", self."));
    pairs.map(|(setting, field)| (setting.to_owned(), format!("--{}", field.replace('_', "-")))).collect()
}
