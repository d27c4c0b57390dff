//! One producing thread: connect, warm up, publish the window, settle.

use std::{
    io,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use hdrhistogram::Histogram;
use tokio::{
    sync::oneshot,
    task::{JoinSet, LocalSet, yield_now},
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    Counters, Due, EngineKind, Go, Lateness, Load, Outcome, Plan, ProducerError, connection_ramp::Pacer,
    librdkafka::Handles, light::Light, null::Null, outcomes::Outbox, timer::Timer,
};

/// Longest sleep of a thread that has nothing due: how soon it sees a stop, and hands over its last outcomes.
const TICK: Duration = Duration::from_millis(50);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(60);

/// A Kafka client library, driving all connections of one thread. Nothing in it ever blocks the thread.
pub(super) trait Engine: 'static {
    /// Opens one connection to whichever of `bootstrap` answers first, in that order.
    async fn connect(self: Rc<Self>, connection: u32, bootstrap: Vec<String>) -> Result<(), String>;
    /// Takes an event that is due. Sends it at once, or puts it in the connection's bounded backlog.
    fn hand_over(self: &Rc<Self>, due: Due);
    /// Events without an outcome yet.
    fn open(&self) -> usize;
    /// Gives up: what is still waiting is unsent, what is in flight is a maybe.
    fn abandon(&self);
    /// How long the thread may sleep before it must call [`Engine::poll`], in µs.
    fn poll_us(&self) -> i64;
    /// Lets the library handle acks that have come in.
    fn poll(&self);
}

pub(super) struct Thread {
    pub load: Arc<Load>,
    pub connections: Vec<u32>,
    pub counters: Arc<Counters>,
    pub stop: Arc<AtomicBool>,
    pub give_up: Arc<AtomicBool>,
}

pub(super) fn lateness() -> Lateness {
    Histogram::new_with_bounds(1, 3_600_000_000, 3).expect("the bounds are valid")
}

impl Thread {
    /// Runs to the end of the load.
    pub fn run(
        self,
        go: oneshot::Receiver<Go>,
        sink: impl Fn(Vec<Outcome>) + 'static,
    ) -> Result<Lateness, ProducerError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| self.failed(0, error.to_string()))?;
        let outbox = Rc::new(Outbox::new(Arc::clone(&self.load), Arc::clone(&self.counters), sink));
        LocalSet::new().block_on(&runtime, async {
            match self.load.engine {
                _ if self.load.null => {
                    self.drive(Rc::new(Null::new(Arc::clone(&self.load), &outbox)), go, &outbox).await
                }
                EngineKind::Rskafka => {
                    self.drive(Rc::new(Light::new(Arc::clone(&self.load), &outbox)), go, &outbox).await
                }
                EngineKind::Librdkafka => {
                    self.drive(Rc::new(Handles::new(Arc::clone(&self.load), &outbox)), go, &outbox).await
                }
            }
        })
    }

    async fn drive<E: Engine>(
        &self,
        engine: Rc<E>,
        go: oneshot::Receiver<Go>,
        outbox: &Outbox,
    ) -> Result<Lateness, ProducerError> {
        let timer = Timer::new(self.load.clock).map_err(|error| self.failed(0, error.to_string()))?;
        self.connect(&engine, outbox).await?;
        let mut lateness = lateness();
        // Nobody says go when the run has ended before it began.
        if let Ok(go) = self.await_go(go, &*engine, outbox).await {
            let Load { warm_up, window, seed, .. } = &*self.load;
            let warm = Plan::warm_up(warm_up, *seed, &self.connections, go.warm_start_us, 1);
            let window = Plan::window(window, *seed, &self.connections, go.window_start_us);
            for plan in [warm, window] {
                let published = self.publish(&engine, plan, &timer, outbox, &mut lateness).await;
                published.map_err(|error| self.failed(0, format!("the timer failed: {error}")))?;
            }
            self.settle(&*engine, outbox).await;
        }
        engine.abandon();
        outbox.flush();
        Ok(lateness)
    }

    async fn connect<E: Engine>(&self, engine: &Rc<E>, outbox: &Outbox) -> Result<(), ProducerError> {
        let Load { ramp, threads, leaders, access, .. } = &*self.load;
        // Half of a broker's sockets go to it as a partition's leader, half as the bootstrap server.
        let half = f64::from(*ramp) / f64::from(*threads) / 2.0;
        let (mut to_leader, mut to_bootstrap) = (Pacer::new(half), Pacer::new(half));
        let mut connecting = JoinSet::new();
        let start = Instant::now();
        for &connection in &self.connections {
            let first = connection as usize % access.bootstrap.len();
            let mut at = to_bootstrap.slot(first, start);
            for partition in self.load.partitions_of(connection) {
                at = at.max(to_leader.slot(leaders[partition as usize], at));
            }
            let mut bootstrap = access.bootstrap.clone();
            bootstrap.rotate_left(first);
            let (engine, clock, stop) = (Rc::clone(engine), self.load.clock, Arc::clone(&self.stop));
            connecting.spawn_local(async move {
                sleep_until(at).await;
                if !stop.load(Relaxed) {
                    let connected = Rc::clone(&engine).connect(connection, bootstrap).await;
                    connected.map_err(|reason| (connection, reason))?;
                    engine.hand_over(Due { connection, sequence: 0, scheduled_us: clock.now_us(), warm: true });
                }
                Ok::<_, (u32, String)>(())
            });
        }
        loop {
            match timeout(TICK, connecting.join_next()).await {
                Ok(None) => break,
                Ok(Some(joined)) => {
                    let connected = joined.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
                    connected.map_err(|(connection, reason)| self.failed(connection, reason))?;
                }
                Err(_) if self.stop.load(Relaxed) => return Ok(()),
                Err(_) => engine.poll(),
            }
        }
        let deadline = Instant::now() + CONNECT_TIMEOUT;
        while engine.open() > 0 && Instant::now() < deadline && !self.stop.load(Relaxed) {
            engine.poll();
            sleep(Duration::from_millis(1)).await;
        }
        outbox.flush();
        if self.stop.load(Relaxed) {
            return Ok(());
        }
        let missing = self.connections.iter().filter(|connection| !outbox.is_open(**connection));
        match (missing.clone().next(), missing.count()) {
            (Some(first), missing) => {
                Err(self.failed(*first, self.not_acked(missing, engine.open(), outbox.main_cause())))
            }
            _ => Ok(()),
        }
    }

    /// Why connecting came to nothing, where connections were opened but `missing` of them have had no ack.
    fn not_acked(&self, missing: usize, still_open: usize, cause: Option<String>) -> String {
        let all = self.connections.len();
        let Load { delivery_timeout, .. } = &*self.load;
        let waited = if still_open > 0 {
            format!("in {CONNECT_TIMEOUT:?}")
        } else {
            format!("within the delivery timeout of {delivery_timeout:?} (see --delivery-timeout)")
        };
        let cause = cause.map_or_else(String::new, |cause| format!(": {cause}"));
        format!("while connecting, the first events of {missing} of {all} connections were not acked {waited}{cause}")
    }

    async fn await_go<E: Engine>(
        &self,
        mut go: oneshot::Receiver<Go>,
        engine: &E,
        outbox: &Outbox,
    ) -> Result<Go, oneshot::error::RecvError> {
        loop {
            match timeout(TICK, &mut go).await {
                Ok(answer) => return answer,
                Err(_) => {
                    engine.poll();
                    outbox.flush();
                }
            }
        }
    }

    async fn publish<E: Engine>(
        &self,
        engine: &Rc<E>,
        mut plan: Plan,
        timer: &Timer,
        outbox: &Outbox,
        lateness: &mut Lateness,
    ) -> io::Result<()> {
        let (mut until_us, mut polled_us) = (i64::MAX, 0);
        while let Some(at_us) = plan.next_us() {
            let now_us = self.load.clock.now_us();
            // What was due before the stop is published all the same, however far behind this thread is.
            if self.stop.load(Relaxed) {
                until_us = until_us.min(now_us);
            }
            if at_us > until_us || self.give_up.load(Relaxed) {
                return Ok(());
            }
            if at_us > now_us {
                outbox.flush_aged(now_us);
                timer.sleep_until(at_us.min(now_us + (TICK.as_micros() as i64).min(engine.poll_us()))).await?;
                engine.poll();
                polled_us = self.load.clock.now_us();
                continue;
            }
            let due = plan.take().expect("there is a next event");
            if !due.warm {
                lateness.saturating_record((now_us - at_us) as u64);
            }
            outbox.planned(&due);
            engine.hand_over(due);
            // Behind schedule the loop never sleeps: let the clients get on with what they have.
            if now_us - polled_us >= engine.poll_us() {
                engine.poll();
                polled_us = now_us;
            }
            yield_now().await;
        }
        Ok(())
    }

    async fn settle<E: Engine>(&self, engine: &E, outbox: &Outbox) {
        let deadline = Instant::now() + self.load.drain;
        while engine.open() > 0 && Instant::now() < deadline && !self.give_up.load(Relaxed) {
            engine.poll();
            outbox.flush();
            sleep(Duration::from_millis(1)).await;
        }
    }

    fn failed(&self, connection: u32, reason: String) -> ProducerError {
        ProducerError { connection, bootstrap: self.load.access.bootstrap.join(","), reason }
    }
}
