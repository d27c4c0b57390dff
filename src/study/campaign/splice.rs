//! A campaign's table in a page that people write: what stands between two markers is replaced, all else is kept.
//!
//! ```text
//! <!-- campaign headline -->
//!
//! | arm | runs | …
//!
//! <!-- /campaign headline -->
//! ```

use std::{fs, path::Path};

use super::CampaignError;
use shasta_model::{atomic_file, marked_block::markers};

/// Replaces what stands between the markers of the campaign `name` by `table`.
///
/// # Errors
/// The page has not both markers once, each alone on its line, or cannot be read or written.
pub fn splice(page: &Path, name: &str, table: &str) -> Result<(), CampaignError> {
    let failed = |source| CampaignError::File { path: page.into(), source };
    let text = fs::read_to_string(page).map_err(failed)?;
    let spliced = spliced(&text, name, table)
        .ok_or_else(|| CampaignError::Unmarked { page: page.into(), name: name.to_owned() })?;
    atomic_file::write(page, spliced.as_bytes()).map_err(|error| failed(error.into()))
}

fn spliced(text: &str, name: &str, table: &str) -> Option<String> {
    let [opening, closing] = [format!("<!-- campaign {name} -->"), format!("<!-- /campaign {name} -->")];
    match markers(text, |line| line == opening, |line| line == closing)[..] {
        [open, close] if open.opens && !close.opens => {
            Some(format!("{}\n\n{}\n\n{}", &text[..open.end], table.trim(), &text[close.line_at..]))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_between_the_markers_is_replaced_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let page = directory.path().join("README.md");
        fs::write(&page, "a\n<!-- campaign tail -->\nold\n<!-- /campaign tail -->\nb\n").unwrap();
        for table in ["| one |\n", "| two |\n\n"] {
            splice(&page, "tail", table).unwrap();
        }
        let text = fs::read_to_string(&page).unwrap();
        assert_eq!(text, "a\n<!-- campaign tail -->\n\n| two |\n\n<!-- /campaign tail -->\nb\n");
        let error = splice(&page, "head", "").unwrap_err().to_string();
        assert!(error.contains("README.md") && error.contains("<!-- campaign head -->"), "{error}");
    }

    #[test]
    fn a_page_with_half_a_block_or_two_is_left_as_it_is() {
        let (open, close) = ("<!-- campaign t -->", "<!-- /campaign t -->");
        for text in [
            format!("a\n{open}\n"),
            format!("a\n{close}\n{open}\n"),
            format!("a\n{open}\n{close}\n{open}\n{close}\n"),
            format!("say {open}\n{close}\n"),
        ] {
            assert_eq!(spliced(&text, "t", "x"), None, "{text}");
        }
    }
}
