//! Which field of a line is which one of a document: all shippers, the mapping, the searches and the documentation agree.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use emshop_deploy::repository;
use serde_json::{Value, json};

/// In lines of all kinds.
pub const OF_ALL: &[(&str, &str)] = &[
    ("timestamp", "@timestamp"),
    ("level", "log.level"),
    ("target", "log.logger"),
    ("message", "message"),
    ("event", "event.action"),
    ("error", "error.message"),
    ("thread", "process.thread.name"),
    ("trace_id", "trace.id"),
    ("span_id", "span.id"),
];
/// In those of calls besides.
pub const OF_CALLS: &[(&str, &str)] = &[
    ("method", "rpc.method"),
    ("code", "rpc.response.status_code"),
    ("peer", "client.address"),
    ("user", "user.id"),
    ("role", "user.roles"),
];

pub fn read(name: &str) -> String {
    let path = repository().join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The document that comes of a line, but for what the shipper knows of its machine.
pub fn document(line: &Value) -> Value {
    let mut rest = line.as_object().expect("an object").clone();
    let mut document = json!({});
    let of_calls = if line["event"] == "rpc" { OF_CALLS } else { &[] };
    for (from, to) in of_calls.iter().chain(OF_ALL) {
        if let Some(value) = rest.remove(*from) {
            let place = to.split('.').fold(&mut document, |place, name| &mut place[name]);
            *place = value;
        }
    }
    document["emshop"] = rest.into();
    document
}

/// The fields of the mapping with their types, each by its whole name.
pub fn mapping() -> BTreeMap<String, String> {
    fn collect(of: &Value, name: &str, into: &mut BTreeMap<String, String>) {
        if let Some(kind) = of["type"].as_str() {
            into.insert(name.to_owned(), kind.to_owned());
        }
        for (part, below) in of["properties"].as_object().into_iter().flatten() {
            collect(below, &if name.is_empty() { part.clone() } else { format!("{name}.{part}") }, into);
        }
    }
    let template: Value = serde_json::from_str(&read("deploy/logs/index-template.json")).expect("JSON");
    let mut fields = BTreeMap::new();
    collect(&template["template"]["mappings"], "", &mut fields);
    fields
}

fn expected() -> BTreeSet<(String, String)> {
    OF_ALL.iter().chain(OF_CALLS).map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect()
}

/// What stands between two texts.
fn between<'a>(text: &'a str, from: &str, to: &str) -> Option<&'a str> {
    Some(text.split_once(from)?.1.split_once(to)?.0.trim())
}

#[test]
fn rsyslog_names_them() {
    let text = read("deploy/logs/rsyslog.conf");
    let moves = text.lines().filter(|line| line.contains("unset $!emshop!"));
    let named = moves.map(|line| {
        let [asked, to, from, unset] =
            [("exists($!emshop!", ")"), ("set $!", "="), ("= $!emshop!", ";"), ("unset $!emshop!", ";")]
                .map(|(from, to)| between(line, from, to).expect(line));
        assert!(asked == from && from == unset, "{line}");
        (from.to_owned(), to.replace('!', "."))
    });
    assert_eq!(named.collect::<BTreeSet<_>>(), expected());
}

#[test]
fn filebeat_names_them() {
    let config: Value = serde_saphyr::from_str(&read("deploy/logs/filebeat.yml")).expect("YAML");
    let processors = config["processors"].as_array().expect("processors");
    let mut named: BTreeSet<(String, String)> = BTreeSet::new();
    for rename in processors.iter().filter_map(|processor| processor.get("rename")) {
        let only_calls = rename["when.equals.emshop.event"] == "rpc";
        assert!(rename["ignore_missing"] == true && rename["fail_on_error"] == false, "{rename:#}");
        for field in rename["fields"].as_array().expect("fields") {
            let [from, to] = ["from", "to"].map(|side| field[side].as_str().expect("a name").to_owned());
            let from = from.strip_prefix("emshop.").expect("below it").to_owned();
            assert_eq!(only_calls, OF_CALLS.iter().any(|(name, _)| *name == from), "{from}");
            named.insert((from, to));
        }
    }
    let timestamp = processors.iter().find_map(|processor| processor.get("timestamp")).expect("it sets the time");
    assert_eq!(timestamp["field"], "emshop.timestamp");
    named.insert(("timestamp".to_owned(), "@timestamp".to_owned()));
    assert_eq!(named, expected());
    let input = &config["filebeat.inputs"][0];
    assert!(
        input["type"] == "filestream" && input["id"].is_string() && input["parsers"][0]["ndjson"]["target"] == "emshop",
        "{input:#}"
    );
    assert_eq!(config["output.elasticsearch"]["index"], "logs-emshop-default");
}

#[test]
fn vector_names_them() {
    let config: Value = serde_saphyr::from_str(&read("deploy/logs/vector.yaml")).expect("YAML");
    let transform = &config["transforms"]["emshop"];
    let source = transform["source"].as_str().expect("a program");
    let named = source.lines().filter(|line| line.contains("del(.emshop.")).map(|line| {
        let [asked, to, from] = [("exists(.emshop.", ")"), ("{ .", "="), ("del(.emshop.", ")")]
            .map(|(from, to)| between(line, from, to).expect(line));
        assert_eq!(asked, from, "{line}");
        (from.to_owned(), to.trim_matches('"').to_owned())
    });
    assert_eq!(named.collect::<BTreeSet<_>>(), expected());
    let sink = &config["sinks"]["elasticsearch"];
    assert!(sink["inputs"][0] == "emshop" && transform["inputs"][0] == "lines" && config["sources"]["lines"]["type"] == "file");
    // Nothing else may be written to a data stream.
    assert!(sink["mode"] == "data_stream" && sink["bulk"]["action"] == "create", "{sink:#}");
    assert_eq!(sink["data_stream"], json!({"type": "logs", "dataset": "emshop", "namespace": "default"}));
}

#[test]
fn the_mapping_has_them_and_the_page_says_so() {
    let (mapping, page) = (mapping(), read("docs/LOGS.md"));
    for (from, to) in OF_ALL.iter().chain(OF_CALLS) {
        let kind = mapping.get(*to).unwrap_or_else(|| panic!("{to} is not in the mapping"));
        assert!(
            page.contains(&format!("| `{from}` | `{to}` | {kind} |")),
            "docs/LOGS.md does not say that {from} is {to}, a {kind}"
        );
    }
    let template: Value = serde_json::from_str(&read("deploy/logs/index-template.json")).expect("JSON");
    let lifecycle: Value = serde_json::from_str(&read("deploy/logs/lifecycle.json")).expect("JSON");
    let policy = template["template"]["settings"]["index.lifecycle.name"].as_str().expect("a name");
    assert!(page.contains(&format!("/_ilm/policy/{policy}")), "the page makes the policy that the template asks for");
    let delete = &lifecycle["policy"]["phases"]["delete"];
    assert!(delete["actions"]["delete"].is_object() && page.contains("30 days") && delete["min_age"] == "30d", "{delete:#}");
    // The time of a data stream must be one, whatever may be malformed elsewhere.
    assert_eq!(template["template"]["mappings"]["properties"]["@timestamp"], json!({"type": "date", "ignore_malformed": false}));
}

#[test]
fn kibana_looks_for_what_there_is() {
    let mapping = mapping();
    let lines = read("deploy/logs/kibana.ndjson");
    let (views, searches): (Vec<Value>, Vec<Value>) = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
        .partition(|object| object["type"] == "index-pattern");
    let [view] = &views[..] else { panic!("one view of data") };
    let template: Value = serde_json::from_str(&read("deploy/logs/index-template.json")).expect("JSON");
    assert_eq!(view["attributes"]["title"], template["index_patterns"][0]);
    assert_eq!(mapping[view["attributes"]["timeFieldName"].as_str().expect("a field")], "date");
    assert!(searches.len() >= 2, "the searches are found");
    for search in searches {
        assert!(
            search["type"] == "search" && search["id"].is_string() && search["attributes"]["title"].is_string(),
            "{search:#}"
        );
        let source = search["attributes"]["kibanaSavedObjectMeta"]["searchSourceJSON"].as_str().expect("a source");
        let source: Value = serde_json::from_str(source).expect("JSON");
        let reference = &search["references"][0];
        assert!(
            reference["name"] == source["indexRefName"] && reference["id"] == view["id"] && reference["type"] == "index-pattern"
        );
        assert!(source["filter"].is_array() && source["query"]["language"] == "kuery", "{source:#}");
        let query = source["query"]["query"].as_str().expect("a query");
        // In the language of Kibana a field is what stands before a colon.
        let asked = query.split(':').map_while(|part| part.rsplit([' ', '(']).next()).filter(|word| word.contains('.'));
        let sorted = search["attributes"]["sort"].as_array().expect("an order").iter().map(|by| &by[0]);
        let shown = search["attributes"]["columns"].as_array().expect("columns").iter().chain(sorted);
        for field in shown.map(|field| field.as_str().expect("a name")).chain(asked) {
            assert!(mapping.contains_key(field), "{}: {field} is not in the mapping", search["id"]);
        }
    }
}
