//! A stand-in for Elasticsearch, as its documentation has the API `_bulk`: it takes documents, and now and then it does not.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use emshop_deploy::http::{Answer, Request, Server};
use serde_json::{Value, json};

/// A document whose message is this is never taken.
pub const WRONG: &str = "wrong, whatever comes of it";

/// What it has been sent, whether it was away meanwhile or not.
#[derive(Default, Clone)]
pub struct Elasticsearch {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// By their ids.
    documents: BTreeMap<String, Value>,
    /// How often a request came. Each second one finds no room at first.
    requests: usize,
    index: Option<String>,
}

impl Elasticsearch {
    pub fn listen(&self, address: SocketAddr) -> Server {
        let state = Arc::clone(&self.state);
        Server::start_at(address, move |request| state.lock().expect("no panic").answer(request))
    }

    pub fn documents(&self) -> Vec<Value> {
        self.state.lock().expect("no panic").documents.values().cloned().collect()
    }

    /// The one that all of them went to.
    pub fn index(&self) -> Option<String> {
        self.state.lock().expect("no panic").index.clone()
    }
}

impl State {
    fn answer(&mut self, request: &Request) -> Answer {
        if request.path != "/_bulk" {
            return (200, "{}".to_owned());
        }
        self.requests += 1;
        let lines: Vec<Value> = request.body.lines().map(|line| serde_json::from_str(line).expect("lines of JSON")).collect();
        let items: Vec<_> = lines.chunks(2).map(|pair| self.item(&pair[0]["create"], &pair[1])).collect();
        let errors = items.iter().any(|item| item["create"]["error"].is_object());
        (200, json!({"took": 1, "errors": errors, "items": items}).to_string())
    }

    fn item(&mut self, action: &Value, document: &Value) -> Value {
        let [index, id] = ["_index", "_id"].map(|name| action[name].as_str().expect("an action of the kind `create`").to_owned());
        assert!(document["@timestamp"].is_string(), "a data stream takes nothing without a time: {document}");
        assert!(*self.index.get_or_insert_with(|| index.clone()) == index, "all go to the same index");
        let refuse = |status: u16, kind: &str| {
            let error = json!({"type": kind, "reason": "as the test wants it"});
            json!({"create": {"_index": index, "_id": id, "status": status, "error": error}})
        };
        if document["message"] == WRONG {
            return refuse(400, "document_parsing_exception");
        }
        if self.documents.contains_key(&id) {
            return refuse(409, "version_conflict_engine_exception");
        }
        if self.requests.is_multiple_of(2) {
            return refuse(429, "es_rejected_execution_exception");
        }
        self.documents.insert(id.clone(), document.clone());
        json!({"create": {"_index": index, "_id": id, "_version": 1, "result": "created", "status": 201}})
    }
}
