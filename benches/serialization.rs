//! What does it cost to make an event, and to read one? `TagData` with its key and its headers, into buffers that are
//! kept and into fresh ones, beside other encodings of the same event and beside the limit, which is to copy its bytes.
//!
//! The limit allocates as well, since a client that takes an event over has to keep it somewhere. What is allocated on
//! the way is counted in `allocations`, a program of its own: the counting would make the limit look slower than it is.

use std::{collections::BTreeMap, hint::black_box};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use prost::Message as _;
use serde::{Deserialize, Serialize};
use shasta::event::{headers::Stamps, partitioner, payload::EventShape};
use shasta_model::tag_data::{Identifier, TagData};

const SIZES_BYTES: [usize; 4] = [128, 512, 2_048, 16_384];
const CONNECTIONS: u32 = 1_000;
const PARTITIONS: u32 = 24;

/// The event as JSON has it, its data an array of numbers.
#[derive(Serialize, Deserialize)]
struct Json {
    app_id: String,
    tag: String,
    scope: String,
    name: String,
    data: Vec<u8>,
}

/// The event as the earlier system kept it: encoded, as base64 in an envelope of JSON.
#[derive(Serialize, Deserialize)]
struct Envelope {
    name: String,
    data: String,
}

impl Envelope {
    fn seal(name: &str, encoded: &[u8]) -> Vec<u8> {
        let envelope = Self { name: name.to_owned(), data: STANDARD.encode(encoded) };
        serde_json::to_vec(&envelope).expect("it is plain data")
    }

    fn open(bytes: &[u8]) -> TagData {
        let envelope: Self = serde_json::from_slice(bytes).expect("it was sealed here");
        TagData::decode(&STANDARD.decode(envelope.data).expect("it was sealed here")[..]).expect("it was encoded here")
    }
}

/// What bincode does: each field's length in eight bytes, then the field.
fn lengths_and_fields(event: &TagData) -> Vec<u8> {
    let fields = fields(event);
    let mut bytes = Vec::with_capacity(fields.iter().map(|field| 8 + field.len()).sum());
    for field in fields {
        bytes.extend_from_slice(&(field.len() as u64).to_le_bytes());
        bytes.extend_from_slice(field);
    }
    bytes
}

fn read_lengths_and_fields(mut bytes: &[u8]) -> TagData {
    let mut field = || {
        let (len, rest) = bytes.split_first_chunk::<8>().expect("a length comes first");
        let (field, rest) = rest.split_at(u64::from_le_bytes(*len) as usize);
        bytes = rest;
        field.to_vec()
    };
    let mut text = || String::from_utf8(field()).expect("it was text");
    let (app_id, tag, scope, name) = (text(), text(), text(), text());
    TagData { identifier: Some(Identifier { app_id, tag, scope, name }), data: field() }
}

fn fields(event: &TagData) -> [&[u8]; 5] {
    let Identifier { app_id, tag, scope, name } = event.identifier.as_ref().expect("events of the load have one");
    [app_id.as_bytes(), tag.as_bytes(), scope.as_bytes(), name.as_bytes(), &event.data]
}

fn json(event: &TagData) -> Json {
    let Identifier { app_id, tag, scope, name } = event.identifier.clone().expect("events of the load have one");
    Json { app_id, tag, scope, name, data: event.data.clone() }
}

fn stamps() -> Stamps<'static> {
    let (scheduled_us, before_publish_us) = (1_700_000_000_000_000, 1_700_000_000_000_100);
    let (run, source) = ("goal-20260101T000000Z", "p0");
    Stamps { run, source, producer: 7, sequence: 0, scheduled_us, before_publish_us, warm: false }
}

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    for bytes in SIZES_BYTES {
        let shape = EventShape::new(bytes, CONNECTIONS, 1, 16, 1).expect("128 bytes are enough");
        let encoded = shape.encode(7, 0);
        let event = TagData::decode(&encoded[..]).expect("it was encoded here");
        assert_eq!((encoded.len(), event.encode_to_vec()), (bytes, encoded.clone()));
        let (name, as_json) = (fields(&event)[3].to_vec(), json(&event));
        let name = String::from_utf8(name).expect("a name is text");
        group.throughput(Throughput::Bytes(bytes as u64));
        let mut sequence = 0;
        let mut next = move || {
            sequence += 1;
            sequence
        };
        let mut buffer = Vec::with_capacity(bytes);
        group.bench_function(BenchmarkId::new("kept buffer", bytes), |bencher| {
            bencher.iter(|| {
                buffer.clear();
                shape.append(7, next(), &mut buffer);
                black_box(buffer.as_slice());
            });
        });
        group.bench_function(BenchmarkId::new("fresh buffer", bytes), |bencher| {
            bencher.iter(|| shape.encode(7, black_box(3)));
        });
        group.bench_function(BenchmarkId::new("prost", bytes), |bencher| bencher.iter(|| event.encode_to_vec()));
        group.bench_function(BenchmarkId::new("copy", bytes), |bencher| bencher.iter(|| black_box(&encoded).clone()));
        group.bench_function(BenchmarkId::new("lengths and fields", bytes), |bencher| {
            bencher.iter(|| lengths_and_fields(black_box(&event)));
        });
        group.bench_function(BenchmarkId::new("serde_json", bytes), |bencher| {
            bencher.iter(|| serde_json::to_vec(black_box(&as_json)).expect("it is plain data"));
        });
        group.bench_function(BenchmarkId::new("base64 envelope", bytes), |bencher| {
            bencher.iter(|| Envelope::seal(&name, black_box(&encoded)));
        });
    }
    group.finish();
}

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    for bytes in SIZES_BYTES {
        let shape = EventShape::new(bytes, CONNECTIONS, 1, 16, 1).expect("128 bytes are enough");
        let encoded = shape.encode(7, 0);
        let event = TagData::decode(&encoded[..]).expect("it was encoded here");
        let by_lengths = lengths_and_fields(&event);
        assert_eq!(read_lengths_and_fields(&by_lengths), event);
        let as_json = serde_json::to_vec(&json(&event)).expect("it is plain data");
        let sealed = Envelope::seal("n00", &encoded);
        assert_eq!(Envelope::open(&sealed), event);
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(BenchmarkId::new("TagData", bytes), |bencher| {
            bencher.iter(|| TagData::decode(black_box(&encoded[..])).expect("it was encoded here"));
        });
        group.bench_function(BenchmarkId::new("copy", bytes), |bencher| bencher.iter(|| black_box(&encoded).clone()));
        group.bench_function(BenchmarkId::new("lengths and fields", bytes), |bencher| {
            bencher.iter(|| read_lengths_and_fields(black_box(&by_lengths)));
        });
        group.bench_function(BenchmarkId::new("serde_json", bytes), |bencher| {
            bencher.iter(|| serde_json::from_slice::<Json>(black_box(&as_json)).expect("it was written here"));
        });
        group.bench_function(BenchmarkId::new("base64 envelope", bytes), |bencher| {
            bencher.iter(|| Envelope::open(black_box(&sealed)));
        });
    }
    group.finish();
}

/// All that a producer makes of one event of 512 bytes.
fn whole(criterion: &mut Criterion) {
    let shape = EventShape::new(512, CONNECTIONS, 1, 16, 1).expect("512 bytes are enough");
    let mut group = criterion.benchmark_group("event of 512 bytes");
    group.throughput(Throughput::Elements(1));
    let mut buffer = Vec::new();
    append_whole(&shape, 0, &mut buffer);
    let bytes = buffer.clone();
    assert_eq!(Stamps::read(headers_of(&bytes, &shape)), Some(stamps()));
    group.bench_function("copy", |bencher| bencher.iter(|| black_box(&bytes).clone()));
    let mut sequence = 0;
    group.bench_function("encode, key and headers, kept buffer", |bencher| {
        bencher.iter(|| {
            sequence += 1;
            buffer.clear();
            append_whole(&shape, sequence, &mut buffer);
            black_box(buffer.as_slice());
        });
    });
    group.bench_function("encode, key and headers, fresh", |bencher| {
        bencher.iter(|| {
            let headers = stamps().headers().into_iter().map(|(name, value)| (name.to_owned(), value));
            (shape.encode(7, 3), shape.partition_key(7), headers.collect::<BTreeMap<_, _>>())
        });
    });
    let key = shape.partition_key(7);
    assert!(partitioner::partition(&key, PARTITIONS) < PARTITIONS as i32);
    group.bench_function("key", |bencher| {
        bencher.iter(|| {
            buffer.clear();
            shape.append_partition_key(black_box(7), &mut buffer);
            black_box(buffer.as_slice());
        });
    });
    group.bench_function("murmur2", |bencher| bencher.iter(|| partitioner::partition(black_box(&key), PARTITIONS)));
    group.bench_function("headers", |bencher| {
        bencher.iter(|| {
            buffer.clear();
            append_headers(&mut buffer);
            black_box(buffer.as_slice());
        });
    });
    group.finish();
}

/// The event, its key and its headers, one after the other.
fn append_whole(shape: &EventShape, sequence: u64, buffer: &mut Vec<u8>) {
    shape.append(7, sequence, buffer);
    shape.append_partition_key(7, buffer);
    append_headers(buffer);
}

/// Each header as Kafka has it on the wire, lengths in one byte.
fn append_headers(buffer: &mut Vec<u8>) {
    black_box(stamps()).each(|name, value| {
        buffer.push(name.len() as u8);
        buffer.extend_from_slice(name.as_bytes());
        buffer.push(value.len() as u8);
        buffer.extend_from_slice(value);
    });
}

/// Reads back what [`append_whole`] wrote.
fn headers_of<'a>(bytes: &'a [u8], shape: &EventShape) -> impl Iterator<Item = (&'a str, Option<&'a [u8]>)> {
    let mut rest = &bytes[shape.bytes() + shape.partition_key(7).len()..];
    let mut field = move || {
        let (len, behind) = rest.split_first()?;
        let (field, behind) = behind.split_at(usize::from(*len));
        rest = behind;
        Some(field)
    };
    std::iter::from_fn(move || Some((std::str::from_utf8(field()?).ok()?, field())))
}

criterion_group!(benches, encode, decode, whole);
criterion_main!(benches);
