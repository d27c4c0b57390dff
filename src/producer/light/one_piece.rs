//! What rskafka writes is as large as [`RequestSize`] says, and comes in one piece. A broker sees neither, so the other end is
//! one that counts bytes and speaks as much of the protocol as the client needs to publish.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::mpsc::{Sender, channel},
};

use tokio::{task::LocalSet, time::sleep};

use super::*;
use crate::{
    producer::{Counters, tests::load},
    variant::Engine as EngineKind,
};

const API_VERSIONS: i16 = 18;
const METADATA: i16 = 3;
const PRODUCE: i16 = 0;
const EVENTS: u64 = 40;

/// A produce request: its bytes without the length, and whether the first read had all of it.
type Seen = (usize, bool);

struct Answer(Vec<u8>);

impl Answer {
    fn put(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn int(self, value: i32) -> Self {
        self.put(&value.to_be_bytes())
    }

    fn short(self, value: i16) -> Self {
        self.put(&value.to_be_bytes())
    }

    fn text(self, text: &str) -> Self {
        self.short(text.len() as i16).put(text.as_bytes())
    }
}

/// Version 3 for the supported versions, 1 for metadata, and 3 for produce requests; see Kafka's protocol guide.
fn answer(api: i16, version: i16, port: u16) -> Answer {
    let empty = Answer(Vec::new());
    match api {
        API_VERSIONS if version == 3 => {
            let apis = [(PRODUCE, 3), (METADATA, 1), (API_VERSIONS, 3)];
            let listed = apis.iter().fold(empty.short(0).put(&[apis.len() as u8 + 1]), |all, (api, max)| {
                all.short(*api).short(*max).short(*max).put(&[0])
            });
            listed.int(0).put(&[0])
        }
        METADATA => {
            let brokers = empty.int(1).int(1).text("127.0.0.1").int(i32::from(port)).short(-1).int(1);
            let partition = |all: Answer| all.short(0).int(0).int(1).int(1).int(1).int(1).int(1);
            partition(brokers.int(1).short(0).text("t").put(&[0]).int(1))
        }
        PRODUCE => empty.int(1).text("t").int(1).int(0).short(0).put(&[0; 8]).put(&[0xff; 8]).int(0),
        _ => panic!("the client asks for {api} in version {version}"),
    }
}

fn serve(mut client: TcpStream, port: u16, seen: &Sender<Seen>) {
    let mut request = vec![0; 1 << 20];
    while let Ok(first) = client.read(&mut request) {
        if first == 0 {
            return;
        }
        let mut got = first;
        let bytes = loop {
            if let Some(length) = request[..got].first_chunk::<4>() {
                let bytes = u32::from_be_bytes(*length) as usize;
                if got >= 4 + bytes {
                    break bytes;
                }
            }
            got += client.read(&mut request[got..]).unwrap();
        };
        assert_eq!(got, 4 + bytes, "the client has one request in flight");
        let short = |at: usize| i16::from_be_bytes([request[at], request[at + 1]]);
        let (api, version) = (short(4), short(6));
        let Answer(body) = answer(api, version, port);
        let correlation = &request[8..12];
        client.write_all(&[&(body.len() as u32 + 4).to_be_bytes(), correlation, &body].concat()).unwrap();
        if api == PRODUCE {
            seen.send((bytes, first == got)).unwrap();
        }
    }
}

/// The produce requests of a first event, then one, then all others, which have waited for that one.
fn requests(bytes: usize) -> (Arc<Load>, Vec<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (seen, requests) = channel();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let seen = seen.clone();
            std::thread::spawn(move || serve(client, address.port(), &seen));
        }
    });
    let load = Arc::new(load(EngineKind::Rskafka, address.to_string(), bytes));
    let outbox = Rc::new(Outbox::new(Arc::clone(&load), Arc::new(Counters::default()), |_| {}));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let engine = Rc::new(Light::new(Arc::clone(&load), &outbox));
        Rc::clone(&engine).connect(0, vec![address.to_string()]).await.unwrap();
        for sequence in 0..EVENTS {
            engine.hand_over(Due { connection: 0, sequence, scheduled_us: 0, warm: sequence == 0 });
        }
        while Engine::open(&*engine) > 0 {
            sleep(Duration::from_millis(1)).await;
        }
    });
    (load, requests.try_iter().collect())
}

#[test]
fn requests_leave_in_one_piece_and_are_as_large_as_is_said() {
    let (load, backlog) = requests(512);
    let size = RequestSize::of(&load.shape, load.connections, load.topic.len(), load.run.len());
    let full = size.events_max();
    assert_eq!(backlog.len(), 1 + (EVENTS as usize - 1).div_ceil(full), "{backlog:?}");
    let exact = |(bytes, one_piece): Seen, events: usize| {
        let most = size.bytes(events);
        // Names and offsets may be shorter than the longest, by which a request is judged.
        assert!(one_piece && (most - 40 - 20 * events..=most).contains(&bytes), "{bytes} of {events} events, {most}");
    };
    exact(backlog[0], 1);
    exact(backlog[1], full);

    let largest = size.event_bytes_max();
    let (_, alone) = requests(largest);
    assert_eq!(alone.len(), EVENTS as usize);
    assert!(alone.iter().all(|(bytes, one_piece)| *one_piece && *bytes <= ONE_PIECE_MAX), "{alone:?}");
    assert!(alone[0].0 > ONE_PIECE_MAX - 60, "{:?}", alone[0]);
    let (_, larger) = requests(largest + 100);
    assert!(larger.iter().any(|(bytes, _)| *bytes > ONE_PIECE_MAX), "{larger:?}");
}
