//! The little markup that prose may hold, read once for all formats: `**bold**` and `` `code` ``.

/// A piece of prose in one style.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span<'a> {
    /// Its text, without the markup.
    pub text: &'a str,
    /// Between two `**`.
    pub bold: bool,
    /// Between two backticks; nothing in it is markup.
    pub code: bool,
}

/// The paragraphs of a prose, which blank lines part; spans hold what line breaks there are within.
pub fn paragraphs(prose: &str) -> impl Iterator<Item = Vec<Span<'_>>> {
    prose.split("\n\n").map(str::trim).filter(|paragraph| !paragraph.is_empty()).map(spans)
}

/// Pieces in the order in which they stand. Markup that nothing closes is text.
pub fn spans(text: &str) -> Vec<Span<'_>> {
    let mut spans = Vec::new();
    let (mut bold, mut start, mut at) = (false, 0, 0);
    while let Some(found) = text[at..].find(['*', '`']) {
        at += found;
        let rest = &text[at..];
        let plain = Span { text: &text[start..at], bold, code: false };
        if let Some(rest) = rest.strip_prefix("**") {
            if bold || rest.find("**").is_some_and(|length| length > 0) {
                spans.push(plain);
                bold = !bold;
                start = at + 2;
            }
            at += 2;
        } else if let Some((code, _)) = rest.strip_prefix('`').and_then(|rest| rest.split_once('`')) {
            spans.push(plain);
            spans.push(Span { text: code, bold, code: true });
            at += code.len() + 2;
            start = at;
        } else {
            at += 1;
        }
    }
    spans.push(Span { text: &text[start..], bold, code: false });
    spans.retain(|span| !span.text.is_empty());
    spans
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn told(text: &str) -> Vec<(&str, bool, bool)> {
        spans(text).into_iter().map(|span| (span.text, span.bold, span.code)).collect()
    }

    #[test]
    fn bold_and_code() {
        assert_eq!(told("**INVALID**: it"), [("INVALID", true, false), (": it", false, false)]);
        assert_eq!(told("a `> drain` b"), [("a ", false, false), ("> drain", false, true), (" b", false, false)]);
        assert_eq!(told("**n `x`**"), [("n ", true, false), ("x", true, true)]);
        assert_eq!(told("`**`"), [("**", false, true)]);
    }

    #[test]
    fn what_nothing_closes_is_text() {
        for text in ["2 * 3", "a ** b", "`", "****", "a`b"] {
            assert_eq!(told(text), [(text, false, false)]);
        }
    }

    #[test]
    fn blank_lines_part_paragraphs() {
        assert_eq!(paragraphs("a\nb\n\n\nc\n").map(|spans| spans[0].text).collect::<Vec<_>>(), ["a\nb", "c"]);
    }

    proptest! {
        #[test]
        fn no_text_is_lost(text in "[a*` é]{0,40}") {
            let kept: String = spans(&text).iter().map(|span| span.text).collect();
            let letters = |text: &str| text.replace(['*', '`'], "");
            prop_assert_eq!(letters(&kept), letters(&text));
        }
    }
}
