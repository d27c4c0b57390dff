//! The files behind a variant: read, parsed, and followed along `extends`.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use toml::{
    Spanned, Table,
    de::{DeTable, DeValue},
};

use super::{VariantError, error::Origin, find};

/// Largest file that is read: a variant has a few kB, and a wrong path may name anything.
const BYTES_MAX: u64 = 1 << 20;

/// One file of a variant.
pub(super) struct Source {
    path: PathBuf,
    pub(super) table: Table,
    /// Line of each key, and of each key within a table.
    lines: BTreeMap<(String, Option<String>), usize>,
}

impl Source {
    fn read(path: &Path) -> Result<Self, VariantError> {
        let text = read_text(path)?;
        let line_ends: Vec<usize> =
            text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(i, _)| i).collect();
        let line_at = |offset: usize| 1 + line_ends.partition_point(|end| *end < offset);
        let syntax = |error: toml::de::Error| {
            let line = line_at(error.span().map_or(0, |span| span.start));
            let message = find::shorten(error.message());
            VariantError::Syntax { at: Origin::File { path: path.into(), line }, message }
        };
        let spanned = DeTable::parse(&text).map_err(syntax)?;
        let lines = lines(&spanned, line_at);
        Ok(Self { path: path.into(), table: text.parse().map_err(syntax)?, lines })
    }

    /// Where the file sets a key.
    pub(super) fn origin(&self, key: &str, within: Option<&str>) -> Origin {
        let line = self.lines.get(&(key.into(), within.map(String::from))).copied().unwrap_or(1);
        Origin::File { path: self.path.clone(), line }
    }

    /// The file that this one extends.
    fn extends(&self) -> Result<Option<PathBuf>, VariantError> {
        let at = self.origin("extends", None);
        let name = match self.table.get("extends") {
            None => return Ok(None),
            Some(toml::Value::String(name)) => name,
            Some(other) => {
                let setting = format!("{at}: extends = {}", find::shorten(&other.to_string()));
                return Err(VariantError::Wrong { setting, must: "the name of one variant, in quotes".into() });
            }
        };
        let found = find::extended(name, &self.path);
        if found.is_none() {
            let nearest = find::nearest(name, find::all_names()?.iter().map(String::as_str));
            return Err(VariantError::Extends { at, name: find::shorten(name), nearest });
        }
        Ok(found)
    }
}

/// The file and all that it extends, itself first.
pub(super) fn chain(path: &Path) -> Result<Vec<Source>, VariantError> {
    let mut sources: Vec<Source> = Vec::new();
    let mut seen: Vec<PathBuf> = Vec::new();
    let mut next = Some(path.to_path_buf());
    while let Some(path) = next {
        // One file under two names is still a circle.
        let real = path.canonicalize().map_err(|reason| VariantError::Read { path: path.clone(), reason })?;
        if let Some(start) = seen.iter().position(|other| *other == real) {
            let circle = seen[start..].iter().chain([&real]);
            return Err(VariantError::Cycle(circle.map(|path| find::stem(path)).collect::<Result<_, _>>()?));
        }
        seen.push(real);
        let source = Source::read(&path)?;
        next = source.extends()?;
        sources.push(source);
    }
    Ok(sources)
}

fn read_text(path: &Path) -> Result<String, VariantError> {
    let failed = |reason| VariantError::Read { path: path.into(), reason };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(VariantError::TooLarge { path: path.into(), bytes_max: BYTES_MAX });
    }
    String::from_utf8(bytes).map_err(|_| failed(io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text")))
}

fn lines(table: &Spanned<DeTable<'_>>, line_at: impl Fn(usize) -> usize) -> BTreeMap<(String, Option<String>), usize> {
    let mut lines = BTreeMap::new();
    for (key, value) in table.get_ref() {
        let name = key.get_ref().to_string();
        if let DeValue::Array(items) = value.get_ref() {
            // Those of [[name]] are known by their number.
            let items = items.iter().enumerate();
            lines.extend(items.map(|(i, item)| ((name.clone(), Some(i.to_string())), line_at(item.span().start))));
        }
        if let DeValue::Table(inner) = value.get_ref() {
            let inner = inner.iter().map(|(key, _)| (Some(key.get_ref().to_string()), line_at(key.span().start)));
            lines.extend(inner.map(|(within, line)| ((name.clone(), within), line)));
        }
        lines.insert((name, None), line_at(key.span().start));
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;
    use crate::variant::{Layer, Variant, tests::load_text};

    fn refused(text: impl AsRef<[u8]>) -> String {
        load_text(text, &Layer::default()).unwrap_err()
    }

    #[test]
    fn what_is_no_variant_is_refused() {
        assert!(refused("rate = 1\nrate = 2").starts_with("x.toml:2: not TOML: "));
        assert!(refused("a = 1\n\n= 3").starts_with("x.toml:3: not TOML: "));
        assert!(refused("\0").starts_with("x.toml:1: not TOML: "));
        assert!(refused(b"\xff").ends_with("it is not UTF-8 text"));
        assert!(refused("").starts_with("x.toml lacks question, "));
        assert!(refused("#".repeat(BYTES_MAX as usize + 1)).contains("too large for a variant"));
        assert!(refused(format!("a = {}", "[".repeat(500_000))).contains("not TOML"));
        assert!(refused(format!("a{} = 1", ".a".repeat(500_000))).len() < 500);
    }

    #[test]
    fn a_path_that_cannot_be_read_says_why() {
        let load = |path: &str| Variant::load(path, &Layer::default()).unwrap_err().to_string();
        assert!(load("no/such.toml").starts_with("cannot read the variant no/such.toml: "));
        assert!(load("src/variant").starts_with("cannot read the variant src/variant: "));
        assert!(load("/dev/zero").contains("too large"));
        assert!(load("./a b.toml").contains("use only letters"));
    }

    #[test]
    fn extends_looks_beside_the_file_first() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
        write("laptop.toml", "extends = \"goal\"\nworkers = 3");
        write("x.toml", "extends = \"laptop\"");
        let (name, x) = Variant::load(directory.path().join("x.toml").to_str().unwrap(), &Layer::default()).unwrap();
        assert_eq!((name.as_str(), x.workers, x.connections), ("x", 3, 1000));
    }

    #[test]
    fn a_circle_is_shown() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
        write("x.toml", "extends = \"a\"");
        write("a.toml", "extends = \"b\"");
        write("b.toml", "extends = \"a\"");
        write("self.toml", "extends = \"self\"");
        let load = |name: &str| Variant::load(directory.path().join(name).to_str().unwrap(), &Layer::default());
        assert!(load("x.toml").unwrap_err().to_string().contains("in a circle: a → b → a; remove"));
        assert!(load("self.toml").unwrap_err().to_string().contains("in a circle: self → self; remove"));
    }

    #[test]
    fn extends_names_one_variant() {
        assert!(
            refused("extends = \"_bse\"").starts_with("x.toml:1: there is no `_bse` to extend (did you mean `_base`?)")
        );
        assert!(refused("extends = \"../goal\"").starts_with("x.toml:1: there is no `../goal` to extend"));
        assert!(refused("extends = 3").starts_with("x.toml:1: extends = 3: must be the name"));
        assert!(refused("\nextends = [\"a\"]").starts_with("x.toml:2: extends = [\"a\"]: must be the name"));
    }

    /// A variant that can be written out and read again as it was, or an error that names the file and fits a screen.
    fn answered(text: impl AsRef<[u8]>) -> Result<(), String> {
        match load_text(text, &Layer::default()) {
            Ok(variant) => match load_text(variant.to_toml(), &Layer::default()) {
                Ok(again) if again == variant => Ok(()),
                other => Err(format!("{other:?}")),
            },
            Err(error) if error.contains("x.toml") && error.len() < 1_000 => Ok(()),
            Err(error) => Err(error),
        }
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in any::<String>(), toml_like in "([a-z_]{0,9}[ .=\\[\\]{}\"'#0-9\n-]{0,4}){0,20}") {
            prop_assert_eq!(answered(text), Ok(()));
            prop_assert_eq!(answered(toml_like), Ok(()));
        }

        #[test]
        fn any_bytes_are_answered(bytes in any::<Vec<u8>>()) {
            prop_assert_eq!(answered(bytes), Ok(()));
        }
    }
}
