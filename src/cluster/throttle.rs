//! How long brokers held clients back, because a quota of theirs was used up. A broker says it in each answer
//! (`throttle_time_ms`), and neither client hands that on as it is: librdkafka sums it up in its statistics, rskafka
//! says it in its log.

use std::{
    cell::Cell,
    fmt,
    future::Future,
    pin::{Pin, pin},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    task::{Context, Poll},
    time::Duration,
};

use serde::Deserialize;
use shasta_model::manifest::conduct::{Throttled, Throttling};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
};
use tracing_subscriber::{Layer, filter::Targets, layer};

/// How often librdkafka says it. What is said is small beside what is consumed meanwhile; seldomer, a short run would not
/// hear of it.
pub const STATISTICS_MS: u32 = 2_000;
/// Producing handles of librdkafka that are asked, the first ones: a thousand would be asked for megabytes.
pub const PRODUCERS_ASKED: u32 = 16;

/// One answer.
pub fn once(wait: Duration) -> Throttled {
    let ms = wait.as_millis() as u64;
    Throttled { responses: 1, total_ms: ms, max_ms: ms }
}

/// What librdkafka's statistics say of the time since the last ones. Only these few numbers are read of all.
pub fn of_statistics(json: &[u8]) -> Throttled {
    const NAME: &[u8] = br#""throttle":"#;
    #[derive(Deserialize)]
    struct Window {
        max: u64,
        sum: u64,
        cnt: u64,
    }
    let (mut all, mut rest) = (Throttled::default(), json);
    while let Some(at) = rest.windows(NAME.len()).position(|window| window == NAME) {
        rest = &rest[at + NAME.len()..];
        let end = rest.iter().position(|byte| *byte == b'}').map_or(rest.len(), |end| end + 1);
        if let Ok(Window { max, sum, cnt }) = serde_json::from_slice(&rest[..end]) {
            all += Throttled { responses: cnt, total_ms: sum, max_ms: max };
        }
        rest = &rest[end..];
    }
    all
}

/// What is to be known of it beside the latencies, a line each.
pub fn told(throttling: &Throttling) -> Vec<String> {
    let sides = [("producers", throttling.producers), ("workers' consumers", throttling.consumers)];
    let told = |(side, throttled): (&str, Throttled)| {
        format!(
            "a client quota held the {side} back ({throttled}); these latencies contain it; see `kafka-configs \
             --describe --entity-type users` and `clients`"
        )
    };
    sides.into_iter().filter(|(_, throttled)| !throttled.is_none()).map(told).collect()
}

/// What brokers held back while it is counted.
#[derive(Debug, Default)]
pub struct Throttles {
    responses: AtomicU64,
    total_ms: AtomicU64,
    max_ms: AtomicU64,
}

impl Throttles {
    /// Counts more.
    pub fn add(&self, more: Throttled) {
        self.responses.fetch_add(more.responses, Relaxed);
        self.total_ms.fetch_add(more.total_ms, Relaxed);
        self.max_ms.fetch_max(more.max_ms, Relaxed);
    }

    /// What has been counted.
    pub fn now(&self) -> Throttled {
        Throttled {
            responses: self.responses.load(Relaxed),
            total_ms: self.total_ms.load(Relaxed),
            max_ms: self.max_ms.load(Relaxed),
        }
    }

    /// What has been counted since it was last taken.
    pub fn take(&self) -> Throttled {
        Throttled {
            responses: self.responses.swap(0, Relaxed),
            total_ms: self.total_ms.swap(0, Relaxed),
            max_ms: self.max_ms.swap(0, Relaxed),
        }
    }
}

thread_local! {
    /// For how long the last answer to a produce request told rskafka to wait.
    static HEARD: Cell<Option<Duration>> = const { Cell::new(None) };
}

/// Where rskafka says that it was told to wait, and to what.
const TARGET: &str = "rskafka::backoff";
const REQUEST: &str = "produce";

/// The part of the log that hears what rskafka was told. Without it in the subscriber, throttling is not noticed.
pub fn listening<S>() -> impl Layer<S>
where
    S: Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    Listening.with_filter(Targets::new().with_target(TARGET, LevelFilter::INFO))
}

struct Listening;

impl<S: Subscriber> Layer<S> for Listening {
    fn on_event(&self, event: &Event<'_>, _: layer::Context<'_, S>) {
        let mut said = Said::default();
        event.record(&mut said);
        if let (Some(wait), true) = (said.wait, said.is_produce) {
            HEARD.set(Some(wait));
        }
    }
}

#[derive(Default)]
struct Said {
    wait: Option<Duration>,
    is_produce: bool,
}

impl Visit for Said {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.is_produce |= field.name() == "request_name" && value == REQUEST;
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "throttle" {
            self.wait = duration(&format!("{value:?}"));
        }
    }
}

/// Reads `12ms` or `1.5s`, as a duration is written for debugging.
fn duration(text: &str) -> Option<Duration> {
    let (number, unit_s) = match text.strip_suffix("ms") {
        Some(number) => (number, 0.001),
        None => (text.strip_suffix('s')?, 1.0),
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * unit_s).ok()
}

/// Runs a produce request of rskafka, and ends it as soon as its answer says to wait. Left alone, the client would throw
/// that answer away, wait, and send the same records once more, and again, for as long as the quota is used up: it would
/// write everything several times and add to what is held back.
///
/// # Errors
/// How long the answer said to wait. The records are written, unless the answer said something else as well.
pub async fn heeded<F: Future>(request: F) -> Result<F::Output, Duration> {
    let mut request = pin!(request);
    std::future::poll_fn(|context| poll(request.as_mut(), context)).await
}

fn poll<F: Future>(request: Pin<&mut F>, context: &mut Context<'_>) -> Poll<Result<F::Output, Duration>> {
    HEARD.set(None);
    match request.poll(context) {
        Poll::Ready(done) => Poll::Ready(Ok(done)),
        Poll::Pending => HEARD.take().map_or(Poll::Pending, |wait| Poll::Ready(Err(wait))),
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn statistics_of_librdkafka_are_summed_over_the_brokers() {
        let broker = |throttle: &str| format!(r#""rtt": {{ "min":1, "cnt":2 }}, "throttle": {throttle}, "req": {{ }}"#);
        let window = |max, sum, cnt| {
            format!(r#"{{ "min":0, "max":{max}, "avg":5, "sum":{sum}, "stddev": 0, "outofrange": 0, "cnt":{cnt} }}"#)
        };
        let json = format!(
            "{{ {}, {}, {} }}",
            broker(&window(7, 12, 3)),
            broker(&window(0, 0, 0)),
            broker(&window(90, 90, 1))
        );
        assert_eq!(of_statistics(json.as_bytes()), Throttled { responses: 4, total_ms: 102, max_ms: 90 });
        for broken in ["", r#""throttle":"#, r#""throttle": {"max":-1,"sum":2,"cnt":1}"#, r#""throttle": 5}"#] {
            assert!(of_statistics(broken.as_bytes()).is_none(), "{broken}");
        }
    }

    #[test]
    fn durations_are_read_as_they_are_written() {
        for ms in [1, 12, 999, 1_000, 1_500, 30_000] {
            assert_eq!(duration(&format!("{:?}", Duration::from_millis(ms))), Some(Duration::from_millis(ms)));
        }
        assert_eq!([duration("12"), duration("xs"), duration("-1s")], [None; 3]);
    }

    #[test]
    fn a_request_that_is_told_to_wait_ends_there() {
        let subscriber = tracing_subscriber::registry().with(listening());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let request = |request_name: &'static str| async move {
            let throttle = Duration::from_millis(250);
            tracing::info!(target: "rskafka::backoff", ?throttle, request_name, "broker asked us to throttle");
            tokio::time::sleep(Duration::from_millis(1)).await;
            7
        };
        tracing::subscriber::with_default(subscriber, || {
            assert_eq!(runtime.block_on(heeded(request("produce"))), Err(Duration::from_millis(250)));
            assert_eq!(runtime.block_on(heeded(request("leader_detection"))), Ok(7));
        });
    }
}
