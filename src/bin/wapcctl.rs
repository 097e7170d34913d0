//! wapcctl: the operator's client of the control socket.
fn main() {}
