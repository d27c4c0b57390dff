//! The header stamps that travel with an event, and mark it as one of a run.

/// What a producer stamps on an event, carried in the record's headers, integers big-endian.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamps<'a> {
    /// Run that the event belongs to.
    pub run: &'a str,
    /// Producing host, `p<i>`.
    pub source: &'a str,
    /// Connection that published it.
    pub producer: u32,
    /// Number within the connection: 0, 1, 2 …
    pub sequence: u64,
    /// When the schedule wanted it sent, µs of the Unix epoch.
    pub scheduled_us: i64,
    /// When the application handed it to the client, µs of the Unix epoch.
    pub before_publish_us: i64,
    /// A warm-up event: numbered on its own, never a row.
    pub warm: bool,
}

impl<'a> Stamps<'a> {
    /// Hands over each header's name and value, in the order in which they are written, without allocating.
    pub fn each(&self, mut header: impl FnMut(&'static str, &[u8])) {
        header("run", self.run.as_bytes());
        header("source", self.source.as_bytes());
        header("producer", &self.producer.to_be_bytes());
        header("sequence", &self.sequence.to_be_bytes());
        header("scheduled_us", &self.scheduled_us.to_be_bytes());
        header("before_publish_us", &self.before_publish_us.to_be_bytes());
        if self.warm {
            header("warm", &[]);
        }
    }

    /// The same as owned names and values.
    pub fn headers(&self) -> Vec<(&'static str, Vec<u8>)> {
        let mut headers = Vec::with_capacity(7);
        self.each(|name, value| headers.push((name, value.to_vec())));
        headers
    }

    /// Reads the stamps back. `None` where any is missing or of a wrong length: such a record is foreign.
    pub fn read(headers: impl Iterator<Item = (&'a str, Option<&'a [u8]>)>) -> Option<Self> {
        let (mut run, mut source, mut producer, mut sequence) = (None, None, None, None);
        let (mut scheduled_us, mut before_publish_us, mut warm) = (None, None, false);
        for (key, value) in headers {
            let value = value.unwrap_or_default();
            match key {
                "run" => run = std::str::from_utf8(value).ok(),
                "source" => source = std::str::from_utf8(value).ok(),
                "producer" => producer = value.try_into().ok().map(u32::from_be_bytes),
                "sequence" => sequence = value.try_into().ok().map(u64::from_be_bytes),
                "scheduled_us" => scheduled_us = value.try_into().ok().map(i64::from_be_bytes),
                "before_publish_us" => before_publish_us = value.try_into().ok().map(i64::from_be_bytes),
                "warm" => warm = true,
                _ => {}
            }
        }
        Some(Self {
            run: run?,
            source: source?,
            producer: producer?,
            sequence: sequence?,
            scheduled_us: scheduled_us?,
            before_publish_us: before_publish_us?,
            warm,
        })
    }

    /// Bytes that the headers add to a record: names, values and their one-byte lengths.
    pub fn header_bytes(&self) -> usize {
        self.headers().iter().map(|(name, value)| 2 + name.len() + value.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_survive_the_headers() {
        let stamps = Stamps {
            run: "r",
            source: "p3",
            producer: 7,
            sequence: u64::MAX,
            scheduled_us: -1,
            before_publish_us: 1_700_000_000_000_000,
            warm: true,
        };
        let headers = stamps.headers();
        let read = |skip: usize| {
            let kept = headers.iter().enumerate().filter(move |(i, _)| *i != skip);
            Stamps::read(kept.map(|(_, (name, value))| (*name, Some(&value[..]))))
        };
        assert_eq!(read(usize::MAX), Some(stamps.clone()));
        assert!((0..6).all(|skip| read(skip).is_none()), "every stamp but `warm` is required");
        assert_eq!(headers[2], ("producer", vec![0, 0, 0, 7]));
    }
}
