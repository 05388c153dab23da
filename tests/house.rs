//! The house's rules, held: no room knows one above it, files stay short and say what they are for, names come from the domain.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Each room and the rooms it may know. A room that is not here is not allowed to exist.
const MAY_KNOW: &[(&str, &[&str])] = &[
    (
        "cli",
        &[
            "demo",
            "worker",
            "publish",
            "orchestrator",
            "delivery",
            "sinks",
            "store",
            "kafka",
            "telemetry",
            "simulate",
            "pipeline",
            "config",
        ],
    ),
    ("demo", &["worker", "orchestrator", "delivery", "sinks", "store", "kafka", "telemetry", "simulate", "pipeline", "config"]),
    ("worker", &["orchestrator", "delivery", "sinks", "store", "kafka", "telemetry", "pipeline", "config"]),
    ("publish", &["sinks", "kafka", "store", "telemetry", "pipeline", "config"]),
    ("orchestrator", &["store", "kafka", "telemetry", "pipeline", "config"]),
    ("delivery", &["sinks", "kafka", "telemetry", "pipeline", "config"]),
    ("sinks", &["kafka", "telemetry", "pipeline", "config"]),
    ("store", &["telemetry", "pipeline", "config"]),
    ("kafka", &["telemetry", "pipeline", "config"]),
    ("telemetry", &["pipeline", "config"]),
    ("simulate", &[]),
    ("pipeline", &["config"]),
    ("config", &[]),
];

/// Lines of a file, comments and tests included: DESIGN.md's "about 400".
const MAX_LINES: usize = 420;

/// Files that may be longer, and why.
const MAY_BE_LONGER: &[(&str, &str)] = &[];

/// Suffixes that say nothing of what a thing is for.
const EMPTY_WORDS: &[&str] = &["Manager", "Helper", "Util", "Utils", "Handler", "Service", "Impl"];

struct File {
    /// From the package's root, with `/`.
    name: String,
    text: String,
}

impl File {
    /// `src/kafka/client.rs` → `["kafka", "client"]`; `src/kafka.rs` and `src/kafka/mod.rs` → `["kafka"]`.
    fn module(&self) -> Vec<&str> {
        let path = self.name.trim_start_matches("src/").trim_end_matches(".rs");
        let mut parts: Vec<&str> = path.split('/').collect();
        if matches!(parts.last(), Some(&"mod" | &"lib" | &"main")) {
            parts.pop();
        }
        parts
    }

    /// The code without what stands in comments, line by line: good enough, as our strings hold no paths of modules.
    fn code(&self) -> String {
        self.text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
    }
}

fn files() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("src")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of src") {
            let path: PathBuf = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path.strip_prefix(root).expect("below the root").to_string_lossy().replace('\\', "/");
                files.push(File { name, text: std::fs::read_to_string(&path).expect("a source file") });
            }
        }
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(files.len() > 10, "src was not found");
    files
}

fn identifier(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

/// The first names in what follows a `crate::`: one, or several in `{a::b, c}`.
fn first_names(text: &str) -> Vec<&str> {
    let Some(list) = text.strip_prefix('{') else { return vec![identifier(text)] };
    let mut names = Vec::new();
    let (mut depth, mut fresh) = (1, true);
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => fresh = true,
            c if fresh && !c.is_whitespace() => {
                names.push(identifier(&list[at..]));
                fresh = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    names
}

/// The rooms that a file names: through `crate::`, and through a chain of `super::` that climbs out of its own room.
fn rooms_named(file: &File) -> Vec<String> {
    let code = file.code();
    let mut names: Vec<String> = code.split("crate::").skip(1).flat_map(first_names).map(str::to_owned).collect();
    let depth = file.module().len();
    let mut rest = code.as_str();
    while let Some(at) = rest.find("super::") {
        rest = &rest[at..];
        let mut climbed = 0;
        while let Some(next) = rest.strip_prefix("super::") {
            (climbed, rest) = (climbed + 1, next);
        }
        // Inside an inline module a chain may be longer than it climbs: only a room's name makes it an arrow
        if climbed >= depth {
            names.extend(first_names(rest).into_iter().map(str::to_owned));
        }
    }
    let rooms: Vec<&str> = MAY_KNOW.iter().map(|(room, _)| *room).collect();
    names.retain(|name| rooms.contains(&name.as_str()));
    names.sort();
    names.dedup();
    names
}

fn report(broken: Vec<String>) {
    assert!(broken.is_empty(), "\n  {}\n", broken.join("\n  "));
}

#[test]
fn every_room_is_listed_and_every_listed_room_is_there() {
    let mut rooms: Vec<String> =
        files().iter().filter_map(|f| f.module().first().map(|room| room.to_string())).filter(|room| !room.is_empty()).collect();
    rooms.sort();
    rooms.dedup();
    let mut listed: Vec<String> = MAY_KNOW.iter().map(|(room, _)| room.to_string()).collect();
    listed.sort();
    assert_eq!(rooms, listed, "a new room needs its place in DESIGN.md's house and in this table");
}

#[test]
fn no_room_knows_one_above_it() {
    let allowed: BTreeMap<&str, &[&str]> = MAY_KNOW.iter().copied().collect();
    let mut broken = Vec::new();
    for file in files() {
        let module = file.module();
        let Some(room) = module.first().copied() else { continue };
        for known in rooms_named(&file) {
            if known != room && !allowed.get(room).is_some_and(|rooms| rooms.contains(&known.as_str())) {
                broken.push(format!("{}: {room} must not know {known}", file.name));
            }
        }
    }
    report(broken);
}

#[test]
fn the_table_of_arrows_has_no_way_back_up() {
    let order: Vec<&str> = MAY_KNOW.iter().map(|(room, _)| *room).collect();
    let place = |room: &str| order.iter().position(|r| *r == room).expect("a listed room");
    for (room, known) in MAY_KNOW {
        for below in *known {
            assert!(place(below) > place(room), "{room} → {below} goes up");
        }
    }
}

#[test]
fn files_are_short() {
    let mut broken = Vec::new();
    for file in files() {
        let lines = file.text.lines().count();
        let excused = MAY_BE_LONGER.iter().any(|(name, _)| *name == file.name);
        match lines > MAX_LINES {
            true if !excused => broken.push(format!("{} has {lines} lines: split it into files with one purpose each", file.name)),
            false if excused => broken.push(format!("{} has {lines} lines and needs no excuse any more", file.name)),
            _ => {}
        }
    }
    report(broken);
}

#[test]
fn every_file_begins_with_what_it_is_for() {
    report(
        files().into_iter().filter(|f| !f.text.starts_with("//! ")).map(|f| format!("{}: begin with a `//!` sentence", f.name)).collect(),
    );
}

#[test]
fn names_say_what_a_thing_is_for() {
    let mut broken = Vec::new();
    for file in files() {
        let code = file.code();
        for keyword in ["struct ", "enum ", "trait ", "type "] {
            for after in code.split(keyword).skip(1) {
                let name = identifier(after);
                if let Some(word) = EMPTY_WORDS.iter().find(|word| name.ends_with(**word)) {
                    broken.push(format!("{}: `{name}` ends in {word}, which says nothing", file.name));
                }
            }
        }
    }
    report(broken);
}

#[test]
fn nothing_is_left_to_do() {
    let mut broken = Vec::new();
    for file in files() {
        for (number, line) in file.text.lines().enumerate() {
            if ["todo!(", "unimplemented!(", "TODO", "FIXME", "dbg!("].iter().any(|mark| line.contains(mark)) {
                broken.push(format!("{}:{}: {}", file.name, number + 1, line.trim()));
            }
        }
    }
    report(broken);
}

#[test]
fn the_reader_of_arrows_sees_all_forms() {
    let file = |name: &str, text: &str| File { name: name.into(), text: text.into() };
    let named = |name, text| rooms_named(&file(name, text)).join(" ");
    assert_eq!(named("src/kafka/a.rs", "use crate::delivery::Lane;"), "delivery");
    assert_eq!(named("src/kafka/a.rs", "use crate::{config::{Set, worker}, sinks::Sink};"), "config sinks");
    assert_eq!(named("src/kafka/a.rs", "fn f() -> crate::cli::Exit {}"), "cli");
    assert_eq!(named("src/kafka/a.rs", "use super::super::store::Watch;"), "store");
    assert_eq!(named("src/kafka/mod.rs", "use super::store::Watch;"), "store");
    assert_eq!(named("src/kafka/a.rs", "use super::store::Watch; // crate::cli"), "");
}
