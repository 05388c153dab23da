//! Headers of a record as librdkafka holds them, copied out.

use std::ffi::{CStr, c_void};
use std::ptr;

use rdkafka::Message as _;
use rdkafka::bindings::{rd_kafka_header_get_all, rd_kafka_headers_t, rd_kafka_resp_err_t};
use rdkafka::message::{BorrowedHeaders, BorrowedMessage};

/// All headers in order; null values are empty, bytes of a key that are not UTF-8 are replaced.
///
/// rdkafka's own iterator panics on such a key, and anybody who can write to an events topic can send one.
pub(super) fn copy(message: &BorrowedMessage<'_>) -> Vec<(String, Vec<u8>)> {
    let Some(headers) = message.headers() else { return Vec::new() };
    let native = ptr::from_ref::<BorrowedHeaders>(headers).cast::<rd_kafka_headers_t>();
    let mut copied = Vec::new();
    for index in 0.. {
        let (mut name, mut value, mut size) = (ptr::null(), ptr::null::<c_void>(), 0);
        // SAFETY: `BorrowedHeaders` is rdkafka's name for librdkafka's header list (it makes the reference by this very cast), which lives as long
        // as `message`; name and value point into it and are copied before it goes. The call writes all three unless it answers an error.
        let (name, value) = unsafe {
            if rd_kafka_header_get_all(native, index, &mut name, &mut value, &mut size) != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                break;
            }
            let value = if value.is_null() { Vec::new() } else { std::slice::from_raw_parts(value.cast::<u8>(), size).to_vec() };
            (CStr::from_ptr(name), value)
        };
        copied.push((name.to_string_lossy().into_owned(), value));
    }
    copied
}
