//! DescribeConfigs, asked of librdkafka itself: rdkafka's own reading of the answer leaves out why a resource is not
//! described, and gives no entries instead.
#![expect(
    unsafe_code,
    reason = "rdkafka 0.39 does not read the error of a resource, and its C API is the only other way"
)]

use std::{
    collections::BTreeMap,
    ffi::{CStr, CString, c_char},
    ptr::NonNull,
    time::Duration,
};

use rdkafka::{
    ClientContext,
    admin::{ConfigEntry, ConfigSource},
    bindings as rd,
    client::Client,
    error::{KafkaError, RDKafkaErrorCode},
    types::RDKafkaRespErr,
};

/// What is described.
#[derive(Debug, Clone, Copy)]
pub(super) enum Resource<'a> {
    Topic(&'a str),
    Broker(i32),
}

/// Something of librdkafka's that is given back when it drops.
struct Owned<T> {
    pointer: NonNull<T>,
    destroy: unsafe extern "C" fn(*mut T),
}

impl<T> Owned<T> {
    fn new(pointer: *mut T, destroy: unsafe extern "C" fn(*mut T)) -> Option<Self> {
        NonNull::new(pointer).map(|pointer| Self { pointer, destroy })
    }

    fn get(&self) -> *mut T {
        self.pointer.as_ptr()
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: it was made by librdkafka, is destroyed once, and by the function that belongs to it.
        unsafe { (self.destroy)(self.get()) }
    }
}

/// The settings of a resource by name.
///
/// # Errors
/// The resource's own error (the user may not describe it, it does not exist), or that of the request.
pub(super) fn describe<C: ClientContext>(
    client: &Client<C>,
    resource: Resource<'_>,
    limit: Duration,
) -> Result<BTreeMap<String, ConfigEntry>, KafkaError> {
    let (kind, name) = match resource {
        Resource::Topic(name) => (rd::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC, name.to_owned()),
        Resource::Broker(id) => (rd::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_BROKER, id.to_string()),
    };
    let gone = || KafkaError::AdminOpCreation("librdkafka gave nothing".to_owned());
    let name = CString::new(name)?;
    let limit_ms = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the client outlives all that is made here; each pointer that librdkafka gives is checked, used as its header
    // says, and destroyed once. What is read of an event is copied before the event is destroyed.
    unsafe {
        let rk = client.native_ptr();
        let config =
            Owned::new(rd::rd_kafka_ConfigResource_new(kind, name.as_ptr()), rd::rd_kafka_ConfigResource_destroy);
        let config = config.ok_or_else(gone)?;
        let operation = rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS;
        let options = Owned::new(rd::rd_kafka_AdminOptions_new(rk, operation), rd::rd_kafka_AdminOptions_destroy);
        let options = options.ok_or_else(gone)?;
        let mut problem: [c_char; 256] = [0; 256];
        let set =
            rd::rd_kafka_AdminOptions_set_request_timeout(options.get(), limit_ms, problem.as_mut_ptr(), problem.len());
        checked(set)?;
        let queue = Owned::new(rd::rd_kafka_queue_new(rk), rd::rd_kafka_queue_destroy).ok_or_else(gone)?;
        rd::rd_kafka_DescribeConfigs(rk, &mut config.get(), 1, options.get(), queue.get());
        // The request has a limit of its own, and its answer always comes; a second more for it to arrive.
        let event = rd::rd_kafka_queue_poll(queue.get(), limit_ms.saturating_add(1_000));
        let timed_out = KafkaError::AdminOp(RDKafkaErrorCode::OperationTimedOut);
        let event = Owned::new(event, rd::rd_kafka_event_destroy).ok_or(timed_out)?;
        checked(rd::rd_kafka_event_error(event.get()))?;
        let result = rd::rd_kafka_event_DescribeConfigs_result(event.get());
        let mut count = 0;
        let resources = rd::rd_kafka_DescribeConfigs_result_resources(result, &mut count);
        if resources.is_null() || count == 0 {
            return Err(gone());
        }
        let described = *resources;
        checked(rd::rd_kafka_ConfigResource_error(described))?;
        let entries = rd::rd_kafka_ConfigResource_configs(described, &mut count);
        let entries = if entries.is_null() { &[] } else { std::slice::from_raw_parts(entries, count) };
        Ok(entries.iter().map(|entry| read(*entry)).map(|entry| (entry.name.clone(), entry)).collect())
    }
}

fn checked(code: RDKafkaRespErr) -> Result<(), KafkaError> {
    if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR { Ok(()) } else { Err(KafkaError::AdminOp(code.into())) }
}

/// One setting. Where its value comes from nobody here asks.
///
/// # Safety
/// The entry is librdkafka's, of an event that has not been destroyed.
unsafe fn read(entry: *const rd::rd_kafka_ConfigEntry_t) -> ConfigEntry {
    // SAFETY: as the caller promises.
    unsafe {
        let text = |text: *const c_char| (!text.is_null()).then(|| CStr::from_ptr(text).to_string_lossy().into_owned());
        ConfigEntry {
            name: text(rd::rd_kafka_ConfigEntry_name(entry)).unwrap_or_default(),
            value: text(rd::rd_kafka_ConfigEntry_value(entry)),
            source: ConfigSource::Unknown,
            is_read_only: rd::rd_kafka_ConfigEntry_is_read_only(entry) != 0,
            is_default: rd::rd_kafka_ConfigEntry_is_default(entry) != 0,
            is_sensitive: rd::rd_kafka_ConfigEntry_is_sensitive(entry) != 0,
        }
    }
}
