//! `scripts/picture`, which draws the boards of Grafana: it knows all that they use, and says so when it does not.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use emshop_deploy::http::{Request, Server};
use emshop_deploy::repository;
use serde_json::{Value, json};
use tempfile::TempDir;

fn boards() -> Vec<(String, Value)> {
    let folder = repository().join("deploy/grafana");
    let files = fs::read_dir(folder).expect("a folder").map(|file| file.expect("a file").path());
    let boards = files.map(|file| {
        (file.display().to_string(), serde_json::from_str(&fs::read_to_string(&file).expect("a file")).expect("JSON"))
    });
    boards.collect()
}

/// Two series for whatever is asked, with a gap in the second one.
fn answer(request: &Request) -> (u16, String) {
    let data = if request.path.starts_with("/api/v1/label/") {
        json!(["emshop"])
    } else {
        let [start, step] = ["start", "step"].map(|name| {
            let value = request.path.split(['?', '&']).find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
            value.expect("it is asked for a time").parse::<f64>().expect("a number")
        });
        let at = |values: [&str; 4]| -> Vec<Value> {
            values.iter().enumerate().map(|(position, value)| json!([start + step * position as f64, value])).collect()
        };
        json!({"resultType": "matrix", "result": [
            {"metric": {"log": "0", "method": "<&>"}, "values": at(["0", "1", "2.5", "2"])},
            {"metric": {"log": "1"}, "values": at(["0.25", "NaN", "1200", "3"])},
        ]})
    };
    (200, json!({"status": "success", "data": data}).to_string())
}

fn draw(board: &Value, prometheus: &Server, folder: &Path) -> (Output, Option<String>) {
    let (from, to) = (folder.join("board.json"), folder.join("board.svg"));
    fs::write(&from, board.to_string()).expect("a temporary file");
    let output = Command::new("python3")
        .arg(repository().join("scripts/picture"))
        .arg(&from)
        .args(["--prometheus", &format!("http://{}", prometheus.address()), "--last", "5m", "--out"])
        .arg(&to)
        .output()
        .expect("there is a Python");
    (output, fs::read_to_string(to).ok())
}

#[test]
fn each_panel_of_the_boards_is_drawn() {
    let asked = Arc::new(Mutex::new(BTreeSet::new()));
    let seen = Arc::clone(&asked);
    let prometheus = Server::start(move |request| {
        seen.lock().expect("no panic").insert(request.path.clone());
        answer(request)
    });
    let boards = boards();
    assert_eq!(boards.len(), 2, "the boards are found");
    for (name, board) in boards {
        let folder = TempDir::new().expect("a folder");
        let (output, picture) = draw(&board, &prometheus, folder.path());
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        let picture = picture.expect("a picture");
        let panels = board["panels"].as_array().expect("panels");
        for panel in panels {
            assert!(picture.contains(panel["title"].as_str().expect("a title")), "{name}: {} is missing", panel["title"]);
        }
        // Of each expression one series is a line, and the other one a dot and a line.
        let asked: usize = panels.iter().filter_map(|panel| panel["targets"].as_array()).map(Vec::len).sum();
        let drawn = ["stroke-dasharray", "<circle"].map(|what| picture.matches(what).count());
        assert_eq!(drawn, [2 * asked, asked], "{name}");
        assert!(!picture.contains("<&>"), "{name}: a label is not escaped");
    }
    let asked = asked.lock().expect("no panic");
    let open: Vec<_> = asked.iter().filter(|path| path.contains("%24")).collect();
    assert!(asked.len() > 80 && open.is_empty(), "with variables in it: {open:?}");
}

#[test]
fn what_cannot_be_drawn_is_an_error() {
    let prometheus = Server::start(answer);
    let (_, board) = boards().remove(0);
    let strange = [
        ("/type", json!("heatmap"), "cannot draw type heatmap"),
        ("/fieldConfig/defaults/unit", json!("celsius"), "cannot draw the unit celsius"),
        ("/fieldConfig/defaults/custom", json!({"fillOpacity": 1, "drawStyle": "bars"}), "cannot draw lines with drawStyle"),
        ("/fieldConfig/defaults/thresholds/steps/0/color", json!("mauve"), "cannot draw the colour mauve"),
        ("/fieldConfig/overrides", json!([{"matcher": {"id": "byName"}}]), "cannot draw the override"),
    ];
    for (place, value, says) in strange {
        let folder = TempDir::new().expect("a folder");
        let mut board = board.clone();
        let panel = board["panels"].as_array_mut().expect("panels").iter_mut().find(|panel| panel["type"] == "timeseries");
        *panel.expect("there is one").pointer_mut(place).expect("it has that") = value;
        let (output, picture) = draw(&board, &prometheus, folder.path());
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && error.contains(says), "{place}: {error}");
        assert!(picture.is_none(), "{place}: there is a picture");
    }
}

#[test]
fn what_prometheus_refuses_is_told() {
    let refusing = Server::start(|_| (400, r#"{"status":"error","error":"parse error: unexpected end"}"#.to_owned()));
    let folder = TempDir::new().expect("a folder");
    let (output, picture) = draw(&boards().remove(0).1, &refusing, folder.path());
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains("parse error: unexpected end") && picture.is_none(), "{error}");
}
