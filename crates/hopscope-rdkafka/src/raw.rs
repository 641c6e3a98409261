//! Header names as bytes.
//!
//! The one module with `unsafe`, because rdkafka's safe reading of headers panics on a name that is not UTF-8
//! (Kafka's protocol forbids such names, its brokers do not check), and its headers can be neither removed nor added in
//! place. A foreign message must not take a consumer down.
#![allow(unsafe_code, reason = "librdkafka's header functions, see above")]

use rdkafka::bindings as sys;
use rdkafka::message::{BorrowedHeaders, OwnedHeaders};
use std::ffi::{CStr, c_char, c_void};
use std::ptr;

/// One header: name and value, or null.
type Header<'a> = (&'a CStr, Option<&'a [u8]>);

/// A `BorrowedHeaders` has no fields: rdkafka makes the reference out of the native pointer, and so its address is
/// that pointer.
fn native(headers: &BorrowedHeaders) -> *mut sys::rd_kafka_headers_t {
    ptr::from_ref(headers).cast_mut().cast()
}

/// The header at that place in the order of the message.
pub(crate) fn header(headers: &BorrowedHeaders, index: usize) -> Option<Header<'_>> {
    let (mut name, mut value, mut bytes) = (ptr::null::<c_char>(), ptr::null::<c_void>(), 0);
    // SAFETY: the pointer is valid while `headers` is borrowed; librdkafka checks the index and writes the three
    // results only when it answers without an error.
    let error =
        unsafe { sys::rd_kafka_header_get_all(native(headers), index, &mut name, &mut value, &mut bytes) };
    if error != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR || name.is_null() {
        return None;
    }
    // SAFETY: names are zero-terminated copies inside the headers, values are `bytes` long; neither moves while
    // the headers are borrowed, which the lifetime of the result ensures.
    unsafe {
        let value = (!value.is_null()).then(|| std::slice::from_raw_parts(value.cast::<u8>(), bytes));
        Some((CStr::from_ptr(name), value))
    }
}

/// Every header in order.
pub(crate) fn iter(headers: &BorrowedHeaders) -> impl Iterator<Item = Header<'_>> {
    (0..).map_while(|index| header(headers, index))
}

/// Removes every header of exactly this name.
pub(crate) fn remove(headers: &mut OwnedHeaders, name: &CStr) {
    // SAFETY: the headers are owned and borrowed mutably, so nobody holds a reference into them; the name is
    // zero-terminated.
    unsafe { sys::rd_kafka_header_remove(native(headers.as_borrowed()), name.as_ptr()) };
}

/// Adds a header after all others. rdkafka's own way takes the headers and gives them back, so whoever borrows them
/// has to make new ones first.
pub(crate) fn add(headers: &mut OwnedHeaders, name: &str, value: &[u8]) {
    let (Ok(name_bytes), Ok(value_bytes)) = (name.len().try_into(), value.len().try_into()) else { return };
    // SAFETY: the headers are owned and borrowed mutably; librdkafka copies name and value, whose lengths are given. It
    // refuses only headers that cannot be written, which owned ones are not.
    unsafe {
        sys::rd_kafka_header_add(
            native(headers.as_borrowed()),
            name.as_ptr().cast(),
            name_bytes,
            value.as_ptr().cast(),
            value_bytes,
        )
    };
}
