//! Programs that are not emshop's, where `scripts/tools` puts them.

use std::env;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// Prints all documents of a stream as one list.
const TO_JSON: &str = "import json, sys, yaml; json.dump([each for each in yaml.safe_load_all(sys.stdin) if each], sys.stdout)";

/// A program among those that were installed for tests, or on the path.
///
/// # Panics
/// When it is not there.
pub fn tool(name: &str) -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let found =
        [installed()].into_iter().chain(env::split_paths(&path)).map(|folder| folder.join(name)).find(|path| path.exists());
    found.unwrap_or_else(|| panic!("there is no {name}: `scripts/tools` and `scripts/tools tests` install what tests need"))
}

/// A Python with the packages that tests need.
///
/// # Panics
/// When it is not there.
pub fn python() -> PathBuf {
    let python = installed().join("python/bin/python");
    assert!(python.exists(), "there is no {}: `scripts/tools tests` installs it", python.display());
    python
}

/// The documents of a text in YAML, read as Kubernetes and helm do: by the rules of YAML 1.1.
///
/// # Panics
/// When it is none.
pub fn yaml(text: &str) -> Vec<Value> {
    let mut command = Command::new(python());
    let mut child =
        command.args(["-c", TO_JSON]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("there is a Python");
    // It reads all before it writes.
    child.stdin.take().expect("piped").write_all(text.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no YAML: {text}"))
}

/// The one document of a text in YAML.
///
/// # Panics
/// When it is none, or has several.
pub fn one_yaml(text: &str) -> Value {
    let mut documents = yaml(text);
    assert_eq!(documents.len(), 1, "one document: {text}");
    documents.remove(0)
}

fn installed() -> PathBuf {
    let cache = env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
    let cache = cache.unwrap_or_else(|| Path::new(&env::var_os("HOME").unwrap_or_default()).join(".cache"));
    cache.join("emshop/tools")
}
