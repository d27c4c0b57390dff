//! One row per planned event, streamed to `results/<run>.csv` as it completes; [`crate::output::parquet_file`] makes Parquet of it.

mod csv_line;

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use serde::{Deserialize, Serialize};

use shasta_model::columns::Latency;

/// How a run's rows are kept in the end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// As they were streamed.
    #[default]
    Csv,
    /// The same columns, typed, compressed with zstd.
    Parquet,
}

/// One planned event of the window; the columns are those of [`shasta_model::columns::COLUMNS`], in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The producing host, `p<i>`.
    pub source: String,
    /// The worker that consumed it first, `w<j>`; empty when none did.
    pub destination: String,
    /// The producing connection.
    pub producer: u32,
    /// Number of the tag, unique in the run.
    pub tag: u64,
    /// Kafka partition.
    pub partition: i32,
    /// Kafka offset of the first delivery, else of the ack.
    pub offset: Option<i64>,
    /// 0, 1, 2 … within the producer.
    pub sequence: u64,
    /// When the schedule wanted it sent.
    pub scheduled_us: i64,
    /// When it was first handed to the client.
    pub before_publish_us: Option<i64>,
    /// When its ack was handled.
    pub after_publish_us: Option<i64>,
    /// LogAppendTime, whole ms of the broker's clock.
    pub append_ms: Option<i64>,
    /// When the client returned it to the worker.
    pub after_consume_us: Option<i64>,
    /// When its batch's last reply had come.
    pub after_store_us: Option<i64>,
    /// When the first reader had it.
    pub after_read_us: Option<i64>,
}

impl Row {
    /// A stamp by its column's name, in µs.
    pub fn stamp_us(&self, column: &str) -> Option<i64> {
        use shasta_model::columns as c;
        match column {
            c::SCHEDULED_US => Some(self.scheduled_us),
            c::BEFORE_PUBLISH_US => self.before_publish_us,
            c::AFTER_PUBLISH_US => self.after_publish_us,
            c::AFTER_CONSUME_US => self.after_consume_us,
            c::AFTER_STORE_US => self.after_store_us,
            c::AFTER_READ_US => self.after_read_us,
            _ => None,
        }
    }

    /// A latency of this event, in µs and signed; `None` where either stamp is missing.
    pub fn latency_us(&self, latency: &Latency) -> Option<i64> {
        Some(self.stamp_us(latency.to)? - self.stamp_us(latency.from)?)
    }
}

/// The disk that takes the rows, which a fault may fill: all further writes then go to `/dev/full`, where the kernel
/// refuses them as a full disk does.
#[derive(Debug, Clone, Default)]
pub struct Disk(Arc<OnceLock<File>>);

impl Disk {
    /// Fills it, for good.
    ///
    /// # Errors
    /// When this system has no `/dev/full`.
    pub fn fill(&self) -> io::Result<()> {
        let full = File::options().write(true).open("/dev/full")?;
        // It may be full already.
        let _ = self.0.set(full);
        Ok(())
    }
}

/// A file that ends with a whole line once it could not be written, and takes nothing more: what the buffers above it
/// still hold would begin in the middle of one.
#[derive(Debug)]
struct Lines<F> {
    file: F,
    disk: Disk,
    /// Bytes written, and those up to the end of the last whole line.
    bytes: u64,
    whole_bytes: u64,
    broken: bool,
}

/// What can be cut back to a length, in bytes.
trait Cut {
    fn cut(&mut self, bytes: u64) -> io::Result<()>;
}

impl Cut for File {
    fn cut(&mut self, bytes: u64) -> io::Result<()> {
        self.set_len(bytes)
    }
}

impl<F: Write + Cut> Write for Lines<F> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        if self.broken {
            return Err(io::Error::other("an earlier write has failed"));
        }
        let written = match self.disk.0.get() {
            Some(mut full) => full.write(buffer),
            None => self.file.write(buffer),
        };
        match written {
            Ok(count) => {
                if let Some(end) = buffer[..count].iter().rposition(|&byte| byte == b'\n') {
                    self.whole_bytes = self.bytes + end as u64 + 1;
                }
                self.bytes += count as u64;
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                self.broken = true;
                // If that fails too, whoever reads the file finds half a line at its end.
                let _ = self.file.cut(self.whole_bytes);
                Err(error)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Writes rows to a file that did not exist before.
#[derive(Debug)]
pub struct Rows {
    file: BufWriter<Lines<File>>,
    /// The line that is being written; kept, so that a row allocates nothing.
    line: Vec<u8>,
    path: PathBuf,
    written: u64,
    disk: Disk,
}

impl Rows {
    /// Creates the file and writes the header.
    ///
    /// # Errors
    /// The file exists already, or cannot be created.
    pub fn create(path: &Path) -> io::Result<Self> {
        let disk = Disk::default();
        let file = Lines { file: File::create_new(path)?, disk: disk.clone(), bytes: 0, whole_bytes: 0, broken: false };
        let mut file = BufWriter::with_capacity(1 << 16, file);
        let header = shasta_model::columns::COLUMNS.join(",") + "\n";
        if let Err(error) = file.write_all(header.as_bytes()).and_then(|()| file.flush()) {
            // Without a header it is nothing; why it could not be written is what counts.
            let _ = std::fs::remove_file(path);
            return Err(error);
        }
        Ok(Self { file, line: Vec::new(), path: path.to_owned(), written: 0, disk })
    }

    /// Appends one row; it reaches the file with the next flush, or when the buffer is full.
    ///
    /// # Errors
    /// Those of writing: the disk is full. The file then ends with its last whole row, and takes no more.
    pub fn write(&mut self, row: &Row) -> io::Result<()> {
        self.line.clear();
        row.append_csv(&mut self.line);
        self.file.write_all(&self.line)?;
        self.written += 1;
        Ok(())
    }

    /// Hands all rows to the operating system, so that a killed run keeps them.
    ///
    /// # Errors
    /// As [`Rows::write`].
    pub fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }

    /// The disk that takes them.
    pub fn disk(&self) -> Disk {
        self.disk.clone()
    }

    /// Rows taken.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Reads the rows of a file back.
///
/// # Errors
/// The file cannot be opened. Each row has its own error, with its line.
pub fn read(path: &Path) -> csv::Result<csv::DeserializeRecordsIntoIter<File, Row>> {
    Ok(csv::Reader::from_path(path)?.into_deserialize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_written_in_the_recorded_format_and_read_back() {
        let path = tempfile::tempdir().unwrap().keep().join("run.csv");
        let full = Row {
            source: "p1".into(),
            destination: "w0".into(),
            producer: 1,
            tag: 2,
            partition: 3,
            offset: Some(4),
            sequence: 5,
            scheduled_us: -6,
            before_publish_us: Some(7),
            after_publish_us: Some(8),
            append_ms: Some(9),
            after_consume_us: Some(10),
            after_store_us: Some(11),
            after_read_us: Some(12),
        };
        let unsent = Row { source: "p0".into(), ..Row::default() };
        let mut rows = Rows::create(&path).unwrap();
        rows.write(&full).unwrap();
        rows.write(&unsent).unwrap();
        rows.flush().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], shasta_model::columns::COLUMNS.join(","));
        assert_eq!(lines[1], "p1,w0,1,2,3,4,5,-6,7,8,9,10,11,12");
        assert_eq!(lines[2], "p0,,0,0,0,,0,0,,,,,,");
        assert_eq!(read(&path).unwrap().collect::<Result<Vec<_>, _>>().unwrap(), [full, unsent]);
        assert_eq!(Rows::create(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }

    #[test]
    fn a_disk_that_a_fault_has_filled_keeps_the_rows_from_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.csv");
        let mut rows = Rows::create(&path).unwrap();
        rows.write(&Row { source: "p0".into(), ..Row::default() }).unwrap();
        rows.flush().unwrap();
        rows.disk().fill().unwrap();
        rows.write(&Row { source: "p1".into(), ..Row::default() }).unwrap();
        assert_eq!(rows.flush().unwrap_err().kind(), io::ErrorKind::StorageFull);
        let kept: Vec<Row> = read(&path).unwrap().collect::<Result<_, _>>().unwrap();
        assert_eq!(kept.iter().map(|row| row.source.as_str()).collect::<Vec<_>>(), ["p0"]);
    }

    /// A disk with room for so many bytes.
    struct Disk {
        held: Vec<u8>,
        room: usize,
    }

    impl Write for Disk {
        fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
            let count = buffer.len().min(self.room - self.held.len());
            self.held.extend_from_slice(&buffer[..count]);
            if count == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(count) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Cut for Disk {
        fn cut(&mut self, bytes: u64) -> io::Result<()> {
            self.held.truncate(bytes as usize);
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_ends_the_file_with_a_whole_line() {
        let disk = Disk { held: Vec::new(), room: 10 };
        let lines = Lines { file: disk, disk: super::Disk::default(), bytes: 0, whole_bytes: 0, broken: false };
        let mut buffered = BufWriter::with_capacity(6, lines);
        for line in ["abc\n", "def\n", "ghi\n"] {
            let _ = buffered.write_all(line.as_bytes());
        }
        assert_eq!(buffered.flush().unwrap_err().kind(), io::ErrorKind::StorageFull);
        buffered.get_mut().file.room = 1_000;
        assert!(buffered.flush().is_err(), "space that is freed does not bring the other half back");
        assert_eq!(buffered.get_ref().file.held, b"abc\ndef\n");
    }
}
