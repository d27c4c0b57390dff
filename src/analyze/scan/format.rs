//! What a file is that is not what its name says, by its first bytes.

/// So many first bytes tell.
pub const START_BYTES: usize = 16;

/// What is said of encrypted Parquet.
pub const ENCRYPTED: &str = "is encrypted Parquet, which is not read here; write it again without encryption";

/// First bytes, and what is said of a file that begins with them.
const FORMATS: [(&[u8], &str); 13] = [
    (b"\x1f\x8b", "is gzip; unpack it with `gunzip` and name the file within"),
    (b"\x28\xb5\x2f\xfd", "is zstd; unpack it with `unzstd` and name the file within"),
    (b"BZh", "is bzip2; unpack it with `bunzip2` and name the file within"),
    (b"\xfd7zXZ", "is xz; unpack it with `unxz` and name the file within"),
    (b"\x04\x22\x4d\x18", "is lz4; unpack it with `unlz4` and name the file within"),
    (b"PK\x03\x04", "is a ZIP or a workbook; unpack it, or save the sheet as CSV"),
    (b"PAR1", "is Parquet; let its name end in .parquet"),
    (b"PARE", ENCRYPTED),
    (b"ARROW1", "is an Arrow or Feather file; write its rows as Parquet or CSV"),
    (b"\xff\xff\xff\xff", "is an Arrow stream; write its rows as Parquet or CSV"),
    (b"ORC", "is ORC; write its rows as Parquet or CSV"),
    (b"Obj\x01", "is Avro; write its rows as Parquet or CSV"),
    (b"SQLite format 3", "is a SQLite database; write its rows as Parquet or CSV"),
];

/// What is to be said of a file that begins so; none where nothing is known.
pub fn of(start: &[u8]) -> Option<&'static str> {
    if let [0xff, 0xfe, _, 0, ..] | [0xfe, 0xff, 0, ..] = start {
        return Some("is UTF-16; convert it with `iconv -f UTF-16 -t UTF-8`");
    }
    FORMATS.iter().find(|(magic, _)| start.starts_with(magic)).map(|(_, what)| *what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_known_by_their_start() {
        assert!(FORMATS.iter().all(|(magic, what)| magic.len() <= START_BYTES && of(magic) == Some(what)));
        assert!(of(b"\xff\xfes\0o\0").is_some_and(|what| what.starts_with("is UTF-16")));
        assert_eq!(of(b"source,destination"), None);
    }
}
