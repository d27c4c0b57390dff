//! Keeps every partition going, whatever becomes of its log: the poll thread's side of [`super::stall_diagnosis`].
//!
//! The client begins at the log's beginning where it has no offset or one that is not there (`auto.offset.reset`), so
//! that no partition ever stops for that; what that is not right for is corrected here. A batch that the client cannot
//! decode is passed by.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::mpsc::{Receiver, Sender},
    time::{Duration, Instant},
};

use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
    message::BorrowedMessage,
};

use super::{
    Config,
    client::{ClientEvent, Context},
    positions::{Positions, Step},
    stall_diagnosis::{Finding, Question},
};
use crate::cluster::undecodable::{base_offset, is_undecodable};

/// How long a partition may be silent before its leader is asked whether there is anything.
const IDLE_MAX: Duration = Duration::from_secs(10);
/// Between two questions that came to nothing; the pause doubles up to the other.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// How long what was passed over is gathered before it is asked about.
const GATHER: Duration = Duration::from_secs(1);
/// Most ranges of one question.
const OVER_MAX: usize = 10_000;
const SEEK_MAX: Duration = Duration::from_secs(5);
/// How long the last question may take, when the worker is to end.
const LAST_MAX: Duration = Duration::from_secs(3);

pub(super) struct Recovery<'a> {
    config: &'a Config,
    consumer: &'a BaseConsumer<Context>,
    positions: Positions,
    questions: Sender<Question>,
    findings: Receiver<Vec<Finding>>,
    next: Question,
    is_asked: bool,
    /// Whether an error calls for a question, and when it may be asked.
    is_suspicious: bool,
    not_before: Instant,
    pause: Duration,
    gathered: Option<Instant>,
    looked: Instant,
}

impl<'a> Recovery<'a> {
    pub fn new(
        config: &'a Config,
        consumer: &'a BaseConsumer<Context>,
        questions: Sender<Question>,
        findings: Receiver<Vec<Finding>>,
    ) -> Self {
        let now = Instant::now();
        Self {
            config,
            consumer,
            positions: Positions::new(config.start_offsets.clone()),
            questions,
            findings,
            next: Question::default(),
            is_asked: false,
            is_suspicious: false,
            not_before: now,
            pause: PAUSE_MIN,
            gathered: None,
            looked: now,
        }
    }

    /// Whether a record is to be kept; one from before the run is not.
    pub fn take(&mut self, message: &BorrowedMessage<'_>) -> bool {
        self.look_at_assignment();
        let (partition, offset, now) = (message.partition(), message.offset(), Instant::now());
        match self.positions.take(partition, offset, now) {
            Step::Next => {}
            Step::Over(from) => self.passed_over(partition, from..offset, now),
            Step::Early(start) => {
                self.seek(&BTreeMap::from([(partition, start)]));
                return false;
            }
            // A worker that had the partition in between may have committed less, or the topic is another one.
            Step::Back => self.is_suspicious = true,
        }
        true
    }

    fn passed_over(&mut self, partition: i32, over: Range<i64>, now: Instant) {
        if self.next.over.len() < OVER_MAX {
            self.next.over.push((partition, over));
            self.gathered.get_or_insert(now);
        }
    }

    /// Takes an error of the client, which says only of what kind it is.
    pub fn hear(&mut self, error: &KafkaError) {
        use RDKafkaErrorCode as E;
        if is_undecodable(error) {
            self.is_suspicious = true;
            self.next.base = base_offset(&self.consumer.context().last_reason());
        }
        let code = error.rdkafka_error_code();
        if matches!(code, Some(E::UnknownTopicOrPartition | E::UnknownTopic | E::UnknownPartition | E::UnknownTopicId))
        {
            (self.is_suspicious, self.next.is_topic_in_doubt) = (true, true);
        }
    }

    /// The partitions are read again from here because Redis has lost them.
    pub fn went_back(&mut self, places: &BTreeMap<i32, i64>) {
        let now = Instant::now();
        places.iter().for_each(|(partition, to)| self.positions.moved(*partition, *to, now));
    }

    /// Asks what is to be asked, and does what was found out. `is_held`: the worker takes nothing at the moment.
    pub fn advance(&mut self, is_held: bool) {
        self.look_at_assignment();
        if let Ok(found) = self.findings.try_recv() {
            self.is_asked = false;
            self.pause = if found.is_empty() { (self.pause * 2).min(PAUSE_MAX) } else { PAUSE_MIN };
            self.not_before = Instant::now() + self.pause;
            self.apply(found);
        }
        if self.is_asked || is_held {
            return;
        }
        let now = Instant::now();
        let is_gathered = self.gathered.is_some_and(|since| now.duration_since(since) >= GATHER);
        if self.is_suspicious && now >= self.not_before {
            self.next.places = self.positions.all();
            self.ask();
        } else if is_gathered {
            self.ask();
        } else if now.duration_since(self.looked) >= GATHER {
            self.looked = now;
            let places = self.positions.take_idle(IDLE_MAX, now);
            if !places.is_empty() {
                (self.next.places, self.next.is_silent) = (places, true);
                self.ask();
            }
        }
    }

    fn ask(&mut self) {
        (self.is_asked, self.is_suspicious, self.gathered) = (true, false, None);
        // The other thread ends after this one.
        let _ = self.questions.send(std::mem::take(&mut self.next));
    }

    fn apply(&mut self, found: Vec<Finding>) {
        let mut moves = BTreeMap::new();
        let mut refuted = Vec::new();
        for finding in found {
            match finding {
                Finding::Move { partition, from, to } if self.positions.is_at(partition, from) => {
                    moves.insert(partition, to);
                }
                // It has gone on by itself.
                Finding::Move { partition, .. } => refuted.push(partition),
                Finding::Passed(passage) if refuted.contains(&passage.partition) => {}
                Finding::Passed(passage) => self.consumer.context().tell(ClientEvent::Passage(passage)),
                Finding::TopicLost(text) => self.consumer.context().tell(ClientEvent::TopicLost(text)),
            }
        }
        self.seek(&moves);
    }

    fn seek(&mut self, places: &BTreeMap<i32, i64>) {
        if places.is_empty() {
            return;
        }
        let mut list = TopicPartitionList::with_capacity(places.len());
        let mut troubles = Vec::new();
        for (&partition, &offset) in places {
            let added = list.add_partition_offset(&self.config.topic, partition, Offset::Offset(offset));
            troubles.extend(added.err().map(|error| (partition, error)));
        }
        match self.consumer.seek_partitions(list, SEEK_MAX) {
            Ok(sought) => {
                let failed = sought.elements().into_iter().map(|element| (element.partition(), element.error()));
                troubles.extend(failed.filter_map(|(partition, result)| Some((partition, result.err()?))));
            }
            Err(error) => troubles.extend(places.keys().map(|partition| (*partition, error.clone()))),
        }
        let now = Instant::now();
        for (&partition, &to) in places {
            match troubles.iter().find(|(failed, _)| *failed == partition) {
                None => self.positions.moved(partition, to, now),
                // It is found to be stuck again, if it is.
                Some((_, error)) => tracing::debug!("partition {partition} does not go on at offset {to}: {error}"),
            }
        }
    }

    fn look_at_assignment(&mut self) {
        if self.consumer.context().take_reassigned()
            && let Ok(assignment) = self.consumer.assignment()
        {
            let partitions: Vec<_> = assignment.elements().iter().map(|element| element.partition()).collect();
            self.positions.assigned(&partitions, Instant::now());
        }
    }

    /// Tells of what the client has passed over since its last record: the worker is to end.
    pub fn finish(mut self) {
        let Ok(reached) = self.consumer.position() else { return };
        let (read, now) = (self.positions.all(), Instant::now());
        for element in reached.elements() {
            if let (partition, Some(to)) = (element.partition(), element.offset().to_raw())
                && let Some(&Some(next)) = read.get(&partition)
                && to > next
            {
                self.passed_over(partition, next..to, now);
            }
        }
        if self.is_asked
            && let Ok(found) = self.findings.recv_timeout(LAST_MAX)
        {
            self.apply(found);
        }
        if !self.next.over.is_empty() {
            (self.next.places, self.next.is_topic_in_doubt) = (BTreeMap::new(), false);
            self.ask();
            if let Ok(found) = self.findings.recv_timeout(LAST_MAX) {
                self.apply(found);
            }
        }
    }
}
