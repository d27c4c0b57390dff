//! No client: each event gets its key, headers and encoding, and is acked at once. What is left is what the harness alone
//! costs: schedule, encoding, and later the row.

use std::{
    cell::{Cell, RefCell},
    hint::black_box,
    rc::Rc,
    sync::Arc,
};

use super::{Due, Load, outcomes::Outbox, thread::Engine};

pub(super) struct Null {
    load: Arc<Load>,
    outbox: Rc<Outbox>,
    /// Key and event, one after the other.
    buffer: RefCell<Vec<u8>>,
    events: Cell<i64>,
}

impl Null {
    pub fn new(load: Arc<Load>, outbox: &Rc<Outbox>) -> Self {
        Self { load, outbox: Rc::clone(outbox), buffer: RefCell::default(), events: Cell::new(0) }
    }

    /// An offset that no event of another thread has.
    fn offset(&self, connection: u32) -> i64 {
        let nth = self.events.replace(self.events.get() + 1);
        nth * i64::from(self.load.threads) + i64::from(connection % self.load.threads)
    }
}

impl Engine for Null {
    async fn connect(self: Rc<Self>, _connection: u32, _bootstrap: Vec<String>) -> Result<(), String> {
        Ok(())
    }

    fn hand_over(self: &Rc<Self>, due: Due) {
        let before_us = self.load.clock.now_us();
        self.outbox.sent(&due);
        let shape = &self.load.shape;
        let mut buffer = self.buffer.borrow_mut();
        buffer.clear();
        shape.append_partition_key(shape.tag(due.connection, due.sequence), &mut buffer);
        shape.append(due.connection, due.sequence, &mut buffer);
        black_box((&*buffer, self.load.headers(&due, before_us)));
        self.outbox.acked(due, before_us, self.load.clock.now_us(), self.offset(due.connection));
    }

    fn open(&self) -> usize {
        0
    }

    fn abandon(&self) {}

    fn poll_us(&self) -> i64 {
        i64::MAX
    }

    fn poll(&self) {}
}
