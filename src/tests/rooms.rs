//! The rooms of the package, each a folder in `src/`, use only those before them in this list: so none is entered from two
//! sides, and each can be read on its own.

#![expect(clippy::unwrap_used, reason = "a test says what it expects by unwrapping it")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// From what knows nothing of the others to what a person sees. A room that is missing here fails the test.
const ORDER: [&str; 13] = [
    "output", "machine", "event", "variant", "cluster", "store", "producer", "worker", "fault", "verify", "run",
    "study", "cli",
];
/// Folders of `src/` that are packages of their own, or programs.
const OTHERS: [&str; 5] = ["analyze", "bin", "model", "reader", "tests"];

/// The rooms that a source text names, but for its tests.
fn named(text: &str) -> BTreeSet<String> {
    let is_tests = |after: &str| after.lines().next().is_some_and(|line| line.contains("mod ") && line.ends_with('{'));
    let mut parts = text.split("#[cfg(test)]\n");
    let own = parts.next().unwrap().to_owned();
    let text = parts.take_while(|after| !is_tests(after)).fold(own, |text, part| text + part);
    let code: String = text.lines().map(|line| line.split("//").next().unwrap().to_owned() + "\n").collect();
    let mut rooms = BTreeSet::new();
    for after in code.split("crate::").skip(1) {
        let Some(group) = after.strip_prefix('{') else {
            rooms.insert(word(after));
            continue;
        };
        let mut depth = 0;
        let mut items = vec![String::new()];
        for letter in group.chars() {
            match letter {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => items.push(String::new()),
                _ => items.last_mut().unwrap().push(letter),
            }
        }
        rooms.extend(items.iter().map(|item| word(item.trim_start())).filter(|room| !room.is_empty()));
    }
    rooms
}

fn word(text: &str) -> String {
    text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.to_str().is_some_and(|name| name.ends_with(".rs") && !name.ends_with("tests.rs")) {
            found.push(path);
        }
    }
}

#[test]
fn a_room_uses_only_those_before_it() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let folders = fs::read_dir(&src).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let folders: BTreeSet<String> =
        folders.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    assert_eq!(folders, ORDER.into_iter().chain(OTHERS).map(str::to_owned).collect(), "all folders are listed here");
    let place = |room: &str| ORDER.iter().position(|other| *other == room);
    let mut wrong = Vec::new();
    for room in ORDER {
        let mut files = Vec::new();
        sources(&src.join(room), &mut files);
        assert!(!files.is_empty());
        for file in files {
            for other in named(&fs::read_to_string(&file).unwrap()) {
                if place(&other) > place(room) {
                    wrong.push(format!("{} uses `{other}`", file.strip_prefix(&src).unwrap().display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "rooms use only those before them in {ORDER:?}, but:\n{}", wrong.join("\n"));
}

#[test]
fn names_in_groups_and_paths_are_found() {
    let text = "use crate::{a::B, // crate::no\n    c::{d, e::F},\n};\nfn f() { crate::g::h() }\n#[cfg(test)]\nmod tests {\nuse crate::z;}";
    assert_eq!(named(text).into_iter().collect::<Vec<_>>(), ["a", "c", "g"]);
}
