//! The guest's linear memory, as the host reads and writes it: every pointer is checked here and nowhere else.

use bytes::Bytes;

use super::error::{GuestExit, Trap, TrapKind};

/// The bytes at a guest's pointer.
pub(super) fn read<'a>(memory: &'a [u8], ptr: u32, len: u32, function: &'static str) -> Result<&'a [u8], GuestExit> {
    if len == 0 {
        return Ok(&[]);
    }
    let start = ptr as usize;
    memory
        .get(start..)
        .and_then(|tail| tail.get(..len as usize))
        .ok_or_else(|| bad_pointer(function, ptr, len as usize, memory.len()))
}

/// Writes bytes at a guest's pointer.
pub(super) fn write(memory: &mut [u8], ptr: u32, bytes: &[u8], function: &'static str) -> Result<(), GuestExit> {
    room(memory, ptr, bytes.len(), function)?.copy_from_slice(bytes);
    Ok(())
}

/// The place of so many bytes at a guest's pointer.
pub(super) fn room<'a>(
    memory: &'a mut [u8],
    ptr: u32,
    len: usize,
    function: &'static str,
) -> Result<&'a mut [u8], GuestExit> {
    if len == 0 {
        return Ok(&mut []);
    }
    let size = memory.len();
    memory
        .get_mut(ptr as usize..)
        .and_then(|tail| tail.get_mut(..len))
        .ok_or_else(|| bad_pointer(function, ptr, len, size))
}

/// Copies into `Bytes`; what is empty allocates nothing.
pub(super) fn copy(bytes: &[u8]) -> Bytes {
    if bytes.is_empty() { Bytes::new() } else { Bytes::copy_from_slice(bytes) }
}

fn bad_pointer(function: &'static str, ptr: u32, len: usize, memory: usize) -> GuestExit {
    GuestExit::Trapped(Box::new(Trap {
        kind: TrapKind::BadPointer,
        message: format!("{function}: {len} bytes at {ptr:#x} lie outside of the memory of {memory} bytes"),
        backtrace: Vec::new(),
        guest_error: None,
    }))
}
