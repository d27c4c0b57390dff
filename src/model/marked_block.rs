//! Blocks of a Markdown file that people write, each between two markers that stand alone on their lines: a program replaces
//! the block and keeps every other byte.
//!
//! A marker is indented by three spaces at most. In a fenced code block it is an example and no marker.

/// A line that opens or closes a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marker {
    /// Whether it opens one.
    pub opens: bool,
    /// Counted from 1.
    pub line: usize,
    /// Byte at which the line begins.
    pub line_at: usize,
    /// Byte at which the marker begins, after its indentation.
    pub at: usize,
    /// The one after its last byte.
    pub end: usize,
}

/// All markers of a text: lines that, without the space around them, open or close a block.
pub fn markers(text: &str, opens: impl Fn(&str) -> bool, closes: impl Fn(&str) -> bool) -> Vec<Marker> {
    let (mut markers, mut line_at) = (Vec::new(), 0);
    let mut fence: Option<(char, usize)> = None;
    for (line, content) in text.split_inclusive('\n').enumerate() {
        // An editor's byte order mark is no part of the first line.
        let unindented = content.trim_start_matches('\u{feff}').trim_start_matches(' ');
        let at = line_at + content.len() - unindented.len();
        let words = unindented.trim_end();
        if content.trim_start_matches('\u{feff}').len() - unindented.len() <= 3 {
            fence = match (fence, fence_of(words)) {
                (None, Some((c, length, info))) => (c == '~' || !info.contains('`')).then_some((c, length)),
                (Some((open, least)), Some((c, length, ""))) if c == open && length >= least => None,
                (fence, _) => fence,
            };
            let opens = opens(words);
            if fence.is_none() && (opens || closes(words)) {
                markers.push(Marker { opens, line: line + 1, line_at, at, end: at + words.len() });
            }
        }
        line_at += content.len();
    }
    markers
}

/// A fence's character, its length, and what follows it on the line.
fn fence_of(line: &str) -> Option<(char, usize, &str)> {
    let c = line.chars().next().filter(|c| "`~".contains(*c))?;
    let info = line.trim_start_matches(c);
    let length = line.len() - info.len();
    (length >= 3).then_some((c, length, info.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(bool, usize, &str)> {
        let markers = markers(text, |line| line == "<open>", |line| line == "<close>");
        markers.into_iter().map(|marker| (marker.opens, marker.line, &text[marker.at..marker.end])).collect()
    }

    #[test]
    fn a_marker_stands_alone_on_its_line() {
        assert_eq!(found("\u{feff}<open> \r\nx\n   <close>"), [(true, 1, "<open>"), (false, 3, "<close>")]);
        assert_eq!(found("say <open>\n    <open>\n<open> <close>\n"), []);
    }

    #[test]
    fn an_example_in_a_code_fence_is_no_marker() {
        for (open, close) in [("```", "```"), ("~~~~ text", "~~~~~"), ("  ```md", "```")] {
            assert_eq!(found(&format!("{open}\n<open>\n{close}\n<close>\n")), [(false, 4, "<close>")], "{open}");
        }
        assert_eq!(found("``` not ` a fence\n<open>"), [(true, 2, "<open>")]);
    }
}
