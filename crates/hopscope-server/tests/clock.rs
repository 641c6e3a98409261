//! The clock that a bench sets. A test of its own, because it is the whole process's.

#[test]
fn goes_on_from_where_it_was_set() {
    hopscope_server::set_now_ns(1_000_000_000);
    let believed_ns = hopscope_server::now_ns();
    assert!((1_000_000_000..61_000_000_000).contains(&believed_ns), "{believed_ns}");
    hopscope_server::set_now_ns(5_000_000_000_000);
    assert!(hopscope_server::now_ns() >= 5_000_000_000_000, "forward");
}
