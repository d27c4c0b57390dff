//! What passes through one connection: two directions, each a queue of bytes that know when they are due.

use std::{
    cell::RefCell,
    collections::VecDeque,
    future::poll_fn,
    io::{self, ErrorKind::WouldBlock},
    pin::Pin,
    rc::Rc,
    task::Poll,
    time::Instant,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{
        TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
};

use super::{Condition, Timer};

/// Bytes that a direction of a connection holds at most: at 4 ms one way, enough for 1 GB/s.
const HELD_MAX: usize = 4 << 20;
/// Charged for a piece beside its bytes, so that many small ones are bounded as well.
const PIECE_COST: usize = 64;
const READ_MAX: usize = 64 << 10;

/// Bytes that are read into before it is known how many they are; all connections of a thread share them.
pub(super) type Scratch = Rc<RefCell<Vec<u8>>>;

pub(super) fn scratch() -> Scratch {
    Rc::new(RefCell::new(vec![0; READ_MAX]))
}

/// What a connection runs on.
pub(super) struct Wire {
    pub line: watch::Receiver<Condition>,
    pub timer: Rc<Timer>,
    pub scratch: Scratch,
}

/// The connection is no more: one end was reset, or the proxy is closing.
pub(super) struct Broken;

impl Wire {
    /// Waits as long as opening a connection takes: a round trip, and any cut.
    pub async fn round_trip(&self) -> Result<(), Broken> {
        uncut(&mut self.line.clone()).await?;
        let delay = self.line.borrow().delay;
        self.timer.until(Instant::now() + 2 * delay).await;
        uncut(&mut self.line.clone()).await
    }
}

async fn uncut(line: &mut watch::Receiver<Condition>) -> Result<(), Broken> {
    line.wait_for(|condition| !condition.cut).await.map(|_| ()).map_err(|_| Broken)
}

/// Carries bytes between both ends until both directions have ended; a reset of one end becomes one of the other.
pub(super) async fn carry(mut near: TcpStream, mut far: TcpStream, wire: &Wire) {
    // Who cannot be told to send at once is gone already, and that shows below.
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let broken = {
        let ((near_read, near_write), (far_read, far_write)) = (near.split(), far.split());
        let there = Flow::new(near_read, far_write, wire).run();
        let back = Flow::new(far_read, near_write, wire).run();
        tokio::try_join!(there, back).is_err()
    };
    if broken {
        reset(&near);
        reset(&far);
    }
}

/// Lets the drop of a socket reset its connection.
pub(super) fn reset(socket: &TcpStream) {
    // Otherwise it is closed, which is the next best.
    let _ = socket.set_zero_linger();
}

/// What is on its way.
enum Chunk {
    Bytes {
        bytes: Box<[u8]>,
        written: usize,
    },
    /// The sender has sent its last.
    End,
    /// The sender's end was reset.
    Reset,
}

/// One direction.
struct Flow<'a> {
    from: ReadHalf<'a>,
    to: WriteHalf<'a>,
    line: watch::Receiver<Condition>,
    wire: &'a Wire,
    queue: VecDeque<(Instant, Chunk)>,
    held: usize,
    /// The last one's time: the next is not due before.
    last_due: Instant,
    /// Nothing more comes.
    ended: bool,
}

impl<'a> Flow<'a> {
    fn new(from: ReadHalf<'a>, to: WriteHalf<'a>, wire: &'a Wire) -> Self {
        let line = wire.line.clone();
        Self { from, to, line, wire, queue: VecDeque::new(), held: 0, last_due: Instant::now(), ended: false }
    }

    async fn run(mut self) -> Result<(), Broken> {
        loop {
            let condition = *self.line.borrow_and_update();
            if condition.cut {
                uncut(&mut self.line).await?;
                continue;
            }
            let due = self.queue.front().map(|(due, _)| *due);
            let (timer, to, from, scratch) = (&self.wire.timer, &self.to, &mut self.from, &self.wire.scratch);
            let readable = !self.ended && self.held < HELD_MAX;
            let deliverable = async {
                match due {
                    Some(due) => {
                        timer.until(due).await;
                        to.writable().await
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // In this order, so that nothing passes once a cut is known.
                biased;
                changed = self.line.changed() => changed.map_err(|_| Broken)?,
                _ = deliverable => {
                    if self.deliver(condition).await? {
                        return Ok(());
                    }
                }
                read = read(from, scratch), if readable => self.take(read, condition),
            }
        }
    }

    /// Takes what was read: `Ok(0)` is the end.
    fn take(&mut self, read: io::Result<usize>, condition: Condition) {
        self.last_due = self.last_due.max(Instant::now() + condition.delay);
        let chunk = match read {
            Ok(0) => Chunk::End,
            Ok(count) => {
                let scratch = self.wire.scratch.borrow();
                let mut written = 0;
                if condition.delay.is_zero() && self.queue.is_empty() {
                    // What cannot be written now is tried again from the queue, where an error shows as well.
                    written = self.to.try_write(&scratch[..count]).unwrap_or(0);
                }
                if written == count {
                    return;
                }
                self.held += count + PIECE_COST;
                Chunk::Bytes { bytes: scratch[..count].into(), written }
            }
            Err(_) => Chunk::Reset,
        };
        self.ended |= !matches!(chunk, Chunk::Bytes { .. });
        self.queue.push_back((self.last_due, chunk));
    }

    /// Writes what is due, as far as the receiver takes it. Returns whether that was the last.
    async fn deliver(&mut self, condition: Condition) -> Result<bool, Broken> {
        let now = Instant::now();
        while let Some((_, chunk)) = self.queue.front_mut().filter(|(due, _)| *due <= now) {
            match chunk {
                Chunk::Bytes { bytes, written } => match self.to.try_write(&bytes[*written..]) {
                    Ok(count) => *written += count,
                    Err(error) if error.kind() == WouldBlock => return Ok(false),
                    Err(_) => {
                        // The sender hears of it as late as it would over a network.
                        self.wire.timer.until(Instant::now() + condition.delay).await;
                        uncut(&mut self.line).await?;
                        return Err(Broken);
                    }
                },
                Chunk::End => return shut(&mut self.to).await.map(|()| true).map_err(|_| Broken),
                Chunk::Reset => return Err(Broken),
            }
            if let Chunk::Bytes { bytes, written } = chunk
                && *written == bytes.len()
            {
                self.held -= bytes.len() + PIECE_COST;
                self.queue.pop_front();
            }
        }
        Ok(false)
    }
}

/// Reads once into the scratch, which nobody else can touch before this task pauses again. Unlike `try_read` it knows that
/// a read that was not full was the last, and saves the system call that would say so.
async fn read(from: &mut ReadHalf<'_>, scratch: &Scratch) -> io::Result<usize> {
    poll_fn(|context| {
        let mut scratch = scratch.borrow_mut();
        let mut buffer = ReadBuf::new(&mut scratch);
        let read = std::task::ready!(Pin::new(&mut *from).poll_read(context, &mut buffer));
        Poll::Ready(read.map(|()| buffer.filled().len()))
    })
    .await
}

async fn shut(to: &mut WriteHalf<'_>) -> io::Result<()> {
    poll_fn(|context| Pin::new(&mut *to).poll_shutdown(context)).await
}
