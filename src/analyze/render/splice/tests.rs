//! What a splice must keep, as laws over any text around any block, and the files that it refuses.

use super::*;
use proptest::prelude::*;

const FILE: &str = "# Title\n\n<!-- analyze: old -->\nold\n<!-- /analyze -->\n\nEnd";

fn command(arguments: &[&str]) -> Vec<String> {
    arguments.iter().map(|&argument| argument.to_owned()).collect()
}

fn file(text: impl AsRef<[u8]>) -> (tempfile::TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("README.md");
    fs::write(&path, text).unwrap();
    (home, path)
}

fn after(text: &str, block: &str) -> Result<String, Error> {
    let (_home, path) = file(text);
    let result = splice(&path, block, &command(&["analyze"]));
    let now = fs::read_to_string(&path).unwrap();
    result.map(|()| now.clone()).inspect_err(|_| assert_eq!(now, text, "a refused file is as it was"))
}

#[test]
fn the_block_and_its_command_are_replaced() {
    let (_home, path) = file(FILE);
    let command =
        command(&["cargo", "run", "--bin", "analyze", "--", "it's--.csv", "a b", "", "--splice", "README.md"]);
    splice(&path, "| a |\n", &command).unwrap();
    let expected = "# Title\n\n<!-- analyze: cargo run -\\-bin analyze -\\- 'it'\\''s-'\\-'.csv' 'a b' '' -\\-splice README.md -->\n\n\
                    | a |\n\n<!-- /analyze -->\n\nEnd";
    assert_eq!(fs::read_to_string(&path).unwrap(), expected);
}

#[test]
fn line_breaks_and_what_stands_around_are_kept() {
    let crlf = after(&FILE.replace('\n', "\r\n"), "| a |\n| b |").unwrap();
    assert_eq!(crlf.matches("\r\n").count(), crlf.matches('\n').count());
    let marked = "\u{feff}<!-- analyze --> \n  <!-- /analyze -->";
    assert_eq!(after(marked, "x").unwrap(), "\u{feff}<!-- analyze: analyze -->\n\nx\n\n  <!-- /analyze -->");
    assert_eq!(
        after("<!-- analyze -->\n<!-- /analyze -->", "").unwrap(),
        "<!-- analyze: analyze -->\n\n<!-- /analyze -->"
    );
}

#[test]
fn an_example_in_a_code_fence_is_no_marker() {
    let example = "<!-- analyze -->\n<!-- /analyze -->\n";
    for (open, close) in [("```", "```"), ("~~~~ text", "~~~~~"), ("  ```md", "```")] {
        let text = format!("{open}\n{example}{close}\n\n{FILE}");
        assert!(after(&text, "new").unwrap().starts_with(&format!("{open}\n{example}{close}\n\n# Title")));
        assert!(matches!(after(&format!("{open}\n{example}{close}\n"), "new"), Err(Error::NoBlock { .. })));
    }
    assert!(after(&format!("``` not ` a fence\n{FILE}"), "new").is_ok());
    assert!(after(&format!("    ```\n{FILE}"), "new").is_ok(), "indented by four, it is code itself");
}

#[test]
fn anything_but_one_block_is_refused_in_words() {
    let said = |text: &str| after(text, "new").unwrap_err().to_string();
    let none = said("# Title\n`<!-- analyze -->`\n");
    assert!(none.ends_with("\n<!-- analyze -->\n<!-- /analyze -->") && none.contains("insert"), "{none}");
    let two = said(&format!("{FILE}\n{FILE}"));
    assert!(two.contains("line 3") && two.contains("line 5") && two.contains("line 10"), "{two}");
    for half in ["<!-- analyze -->\n", "<!-- /analyze -->\n", "<!-- /analyze -->\n<!-- analyze -->\n"] {
        assert!(said(half).contains("on line 1"), "{}", said(half));
    }
}

#[test]
fn a_block_that_would_not_be_found_again_is_refused() {
    for block in ["<!-- /analyze -->", "a\n  <!-- analyze: x -->\nb", "```\nopen"] {
        assert!(matches!(after(FILE, block), Err(Error::BlockWithMarker)), "{block}");
    }
    assert!(after(FILE, "```\n<!-- /analyze -->\n```").is_ok());
    let (_home, path) = file(FILE);
    let error = splice(&path, "", &command(&["a\nb"])).unwrap_err();
    assert!(error.to_string().contains("line break"), "{error}");
}

#[test]
fn files_that_are_no_text_are_refused() {
    let said = |path: &Path| splice(path, "new", &[]).unwrap_err().to_string();
    let (home, path) = file(b"one\ntwo \xff\n");
    assert!(said(&path).contains("README.md: line 2 is not UTF-8"), "{}", said(&path));
    assert!(said(home.path()).contains("cannot be read"), "{}", said(home.path()));
    assert!(said(&home.path().join("none.md")).contains("none.md: cannot be read"));
}

/// Lines of which many are markers or fences, or nearly.
fn lines() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        4 => "\\PC{0,12}",
        1 => "[ ]{0,5}(```|~~~~|<!-- analyze(: x)? -->|<!-- /analyze -->|#|\\|)[ a]{0,2}",
    ];
    let end = prop_oneof![Just("\n"), Just("\r\n")];
    proptest::collection::vec((line, end), 0..6).prop_map(|lines| lines.into_iter().map(|(l, e)| l + e).collect())
}

proptest! {
    #[test]
    fn twice_is_once_and_the_rest_is_unchanged(before in lines(), old in lines(), rest in lines(), block in lines()) {
        let text = format!("{before}<!-- analyze -->\n{old}<!-- /analyze -->\n{rest}");
        let path = Path::new("README.md");
        if let Ok(once) = spliced(path, &text, &block, "first") {
            let range = the_block(path, &text).unwrap();
            prop_assert!(once.starts_with(&text[..range.start]) && once.ends_with(&text[range.end..]));
            prop_assert_eq!(spliced(path, &once, &block, "first").unwrap(), once.clone());
            // Nothing is left of one block when the next replaces it.
            let direct = spliced(path, &text, "other", "second").unwrap();
            prop_assert_eq!(spliced(path, &once, "other", "second").unwrap(), direct);
        }
    }

    #[test]
    fn a_plain_file_is_spliced(before in "[a-z# \n]{0,40}", block in "[a-z|\n]{0,40}", rest in "[a-z# \n]{0,40}") {
        let text = format!("{before}\n<!-- analyze -->\nold\n<!-- /analyze -->\n{rest}");
        let once = spliced(Path::new("x"), &text, &block, "c").unwrap();
        prop_assert!(once.contains(block.trim_matches('\n')) && !once.contains("old\n<!--"));
    }

    /// A shell splits the command into the arguments again.
    #[test]
    fn commands_survive_the_shell(arguments in proptest::collection::vec("[-a '\"$\\\\>!*é]{0,6}", 1..4)) {
        let text = quoted(&arguments).unwrap();
        let marker = format!("<!-- analyze: {text} -->");
        prop_assert!(!text.contains("--") && opening(&marker) && marker.find("-->") == Some(marker.len() - 3), "{}", text);
        prop_assert_eq!(read_as_a_shell_does(&text), arguments);
    }
}

/// Bare words, backslashes and single quotes, as POSIX has them.
fn read_as_a_shell_does(text: &str) -> Vec<String> {
    let (mut words, mut quoted) = (vec![String::new()], false);
    let mut letters = text.chars();
    while let Some(c) = letters.next() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            '\\' if !quoted => words.last_mut().unwrap().extend(letters.next()),
            c => words.last_mut().unwrap().push(c),
        }
    }
    words
}
