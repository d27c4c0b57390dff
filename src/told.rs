//! An error in one line, with its causes.

use std::error::Error;

/// The error's message and those of its causes, each once: many a message holds that of its cause already.
pub fn told(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let own = error.to_string();
        if !text.contains(&own) {
            text.push_str(": ");
            text.push_str(&own);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Outer {
        #[error("a.csv: {source}; look at it")]
        Within { source: io::Error },
        #[error("a.csv")]
        Without { source: io::Error },
    }

    #[test]
    fn each_cause_is_told_once() {
        let source = || io::Error::other("no space");
        assert_eq!(told(&Outer::Within { source: source() }), "a.csv: no space; look at it");
        assert_eq!(told(&Outer::Without { source: source() }), "a.csv: no space");
    }
}
