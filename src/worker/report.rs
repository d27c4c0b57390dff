//! What a worker tells its parent over the pipe: length-delimited protobuf, many receipts a message.

use std::io;

use prost::Message;

/// Largest report: what a worker sends at once is below it, as `batch_max` bounds it.
const REPORT_BYTES_MAX: usize = 16 << 20;

/// One message from a worker.
#[derive(Clone, PartialEq, Message)]
pub struct Report {
    /// Records consumed and stored since the last report.
    #[prost(message, repeated, tag = "1")]
    pub receipts: Vec<Receipt>,
    /// The partitions that the worker has now, when that has changed.
    #[prost(message, repeated, tag = "2")]
    pub assignments: Vec<Assignment>,
    /// What cannot be stored, with its place and reason; the record stays in Kafka.
    #[prost(message, repeated, tag = "3")]
    pub set_aside: Vec<SetAside>,
    /// Troubles that the worker has got over or is trying to.
    #[prost(string, repeated, tag = "4")]
    pub warnings: Vec<String>,
    /// Why the worker ends before it was told to.
    #[prost(string, optional, tag = "5")]
    pub fatal: Option<String>,
    /// Other runs whose records were consumed since the last report.
    #[prost(message, repeated, tag = "6")]
    pub foreign_runs: Vec<ForeignRun>,
    /// From the readers' process: changes that a follower has got.
    #[prost(message, repeated, tag = "7")]
    pub reads: Vec<Read>,
    /// From the readers' process: how many tags are followed by now, when that has changed.
    #[prost(uint64, tag = "8")]
    pub followed: u64,
    /// Offsets of which no record could be consumed, since the last report.
    #[prost(message, repeated, tag = "9")]
    pub passages: Vec<Passage>,
    /// Why the topic is not the one that the run began with, once that is certain.
    #[prost(string, optional, tag = "10")]
    pub topic_lost: Option<String>,
    /// What a server refuses until somebody grants a right or corrects a password. A run that has not begun ends by it; one
    /// that has goes on, since trying again goes on too.
    #[prost(string, optional, tag = "16")]
    pub refused: Option<String>,
    /// Times that Redis was found to have lost what it had acknowledged, and partitions were read again.
    #[prost(uint64, tag = "20")]
    pub rewinds: u64,
    /// Records that were delivered again because of that.
    #[prost(uint64, tag = "21")]
    pub replayed: u64,
    /// Redis evicts what it had acknowledged; that is not read again.
    #[prost(bool, tag = "40")]
    pub evicted: bool,
    /// Answers since the last report by which a broker held the consumer back.
    #[prost(uint64, tag = "41")]
    pub throttled_responses: u64,
    /// For how long in all, in ms.
    #[prost(uint64, tag = "42")]
    pub throttled_ms: u64,
    /// The longest of them, in ms.
    #[prost(uint64, tag = "43")]
    pub throttled_ms_max: u64,
}

/// One change that a follower has got.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Read {
    /// Number of the tag.
    #[prost(uint64, tag = "1")]
    pub tag: u64,
    /// Kafka offset.
    #[prost(int64, tag = "2")]
    pub offset: i64,
    /// When, µs of the Unix epoch.
    #[prost(sfixed64, tag = "3")]
    pub after_read_us: i64,
}

/// One record that a worker has consumed.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Receipt {
    /// Whose it is.
    #[prost(enumeration = "Kind", tag = "1")]
    pub kind: i32,
    /// Connection that published it.
    #[prost(uint32, tag = "2")]
    pub producer: u32,
    /// Number within the connection.
    #[prost(uint64, tag = "3")]
    pub sequence: u64,
    /// Partition.
    #[prost(int32, tag = "4")]
    pub partition: i32,
    /// Offset.
    #[prost(int64, tag = "5")]
    pub offset: i64,
    /// LogAppendTime, ms of the Unix epoch, where the topic has it.
    #[prost(sfixed64, optional, tag = "6")]
    pub append_ms: Option<i64>,
    /// When the client returned it, µs of the Unix epoch.
    #[prost(sfixed64, tag = "7")]
    pub after_consume_us: i64,
    /// When its batch's last reply had come, µs of the Unix epoch; none when it was not stored.
    #[prost(sfixed64, optional, tag = "8")]
    pub after_store_us: Option<i64>,
    /// What storing it did.
    #[prost(enumeration = "Stored", tag = "9")]
    pub stored: i32,
}

/// Whose record it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Kind {
    /// An event of this run's window.
    Event = 0,
    /// An event of this run's warm-up.
    Warm = 1,
    /// Of another run, or without our headers.
    Foreign = 2,
}

/// What storing a record did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Stored {
    /// Not stored: the worker ended before Redis had answered.
    Not = 0,
    /// Snapshot and stream have it.
    Applied = 1,
    /// It was not newer than what the tag has: nothing changed.
    Stale = 2,
    /// It cannot be stored, and was set aside.
    SetAside = 3,
}

/// The partitions of a worker after a rebalance.
#[derive(Clone, PartialEq, Message)]
pub struct Assignment {
    /// When, µs of the Unix epoch.
    #[prost(sfixed64, tag = "1")]
    pub at_us: i64,
    /// All partitions that it has now.
    #[prost(int32, repeated, tag = "2")]
    pub partitions: Vec<i32>,
}

/// Another run that publishes to the same topic.
#[derive(Clone, PartialEq, Message)]
pub struct ForeignRun {
    /// Its name, as its events' headers say it.
    #[prost(string, tag = "1")]
    pub run: String,
    /// Its records.
    #[prost(uint64, tag = "2")]
    pub records: u64,
}

/// Offsets of a partition that a worker has passed by, since none of them could be consumed.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Passage {
    /// Partition.
    #[prost(int32, tag = "1")]
    pub partition: i32,
    /// The first offset.
    #[prost(int64, tag = "2")]
    pub from: i64,
    /// The one after the last.
    #[prost(int64, tag = "3")]
    pub to: i64,
    /// Why.
    #[prost(enumeration = "Absent", tag = "4")]
    pub absent: i32,
    /// What the client says of it, where it says anything.
    #[prost(string, tag = "5")]
    pub reason: String,
}

/// Why there is nothing to consume at an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Absent {
    /// Offsets without a record: the end of a transaction, or what compaction has left.
    NoRecord = 0,
    /// Deleted before a worker came to it: by retention, or by somebody.
    Gone = 1,
    /// A batch that the client cannot decode.
    Undecodable = 2,
}

/// A record that cannot be stored.
#[derive(Clone, PartialEq, Message)]
pub struct SetAside {
    /// Partition.
    #[prost(int32, tag = "1")]
    pub partition: i32,
    /// Offset.
    #[prost(int64, tag = "2")]
    pub offset: i64,
    /// Why.
    #[prost(string, tag = "3")]
    pub reason: String,
}

impl From<SetAside> for shasta_model::manifest::record::SetAside {
    fn from(SetAside { partition, offset, reason }: SetAside) -> Self {
        Self { partition, offset, reason }
    }
}

impl Report {
    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Reads the next report; `None` at the pipe's end.
    ///
    /// # Errors
    /// A broken pipe, or bytes that are no report.
    pub fn read(from: &mut impl io::Read) -> io::Result<Option<Self>> {
        let mut length = [0; 4];
        match from.read_exact(&mut length) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        }
        let length = u32::from_be_bytes(length) as usize;
        if length > REPORT_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a report of {length} bytes")));
        }
        let mut bytes = vec![0; length];
        from.read_exact(&mut bytes)?;
        Self::decode(&bytes[..]).map(Some).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// The report's bytes on the pipe.
    pub fn frame(&self) -> Vec<u8> {
        let length = self.encoded_len();
        let mut frame = Vec::with_capacity(4 + length);
        frame.extend((length as u32).to_be_bytes());
        self.encode(&mut frame).expect("a Vec grows as needed");
        frame
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reports_follow_each_other_on_the_pipe() {
        let receipt = Receipt { sequence: 7, after_consume_us: -1, stored: Stored::Stale as i32, ..Receipt::default() };
        let first = Report { receipts: vec![receipt; 3], ..Report::default() };
        let second = Report { fatal: Some("it broke".into()), ..Report::default() };
        let pipe = [first.frame(), second.frame()].concat();
        let mut from = &pipe[..];
        assert_eq!(Report::read(&mut from).unwrap(), Some(first));
        assert_eq!(Report::read(&mut from).unwrap(), Some(second));
        assert_eq!(Report::read(&mut from).unwrap(), None);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = Report::read(&mut &bytes[..]);
        }
    }
}
