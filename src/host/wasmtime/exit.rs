//! Turns wasmtime's errors into typed exits.

use wasmtime::{Trap as EngineTrap, WasmBacktrace};

use super::instance::StoreData;
use crate::host::error::{Frame, GuestExit, Resource, Trap, TrapKind};

/// Longest text of an abort that is kept, in UTF-16 units.
const MAX_ABORT_TEXT: usize = 16 * 1024;

/// Longest function name that is kept of a backtrace, in bytes. Mangled names of real programs reach some hundred; the
/// name section of a hostile one reaches the size of the file, in every frame.
const MAX_NAME: usize = 256;

/// Why an instance ended, with everything that is known about it.
pub(super) fn exit_of(error: wasmtime::Error, data: &mut StoreData, guest_stack: u64) -> GuestExit {
    let backtrace = error.downcast_ref::<WasmBacktrace>().map(frames).unwrap_or_default();
    let guest_error = data.said_error();
    let (kind, message) = match error.downcast::<GuestExit>() {
        Ok(GuestExit::Trapped(trap)) => (trap.kind, trap.message),
        Ok(exit) => return exit,
        Err(error) => match error.downcast_ref::<EngineTrap>() {
            Some(trap) => (kind_of(*trap), trap.to_string()),
            None => (TrapKind::Other, format!("{:#}", error)),
        },
    };
    let trap = Box::new(Trap { kind, message, backtrace, guest_error });
    if kind == TrapKind::StackOverflow {
        return GuestExit::LimitExceeded { resource: Resource::Stack, limit: guest_stack, asked: None, trap };
    }
    match data.limiter.refused.take() {
        Some(refusal) => GuestExit::LimitExceeded {
            resource: refusal.resource,
            limit: refusal.limit,
            asked: Some(refusal.asked),
            trap,
        },
        None => GuestExit::Trapped(trap),
    }
}

fn kind_of(trap: EngineTrap) -> TrapKind {
    match trap {
        EngineTrap::UnreachableCodeReached => TrapKind::Unreachable,
        EngineTrap::MemoryOutOfBounds => TrapKind::MemoryOutOfBounds,
        EngineTrap::TableOutOfBounds => TrapKind::TableOutOfBounds,
        EngineTrap::IndirectCallToNull | EngineTrap::BadSignature | EngineTrap::NullReference => {
            TrapKind::BadIndirectCall
        }
        EngineTrap::IntegerOverflow | EngineTrap::IntegerDivisionByZero | EngineTrap::BadConversionToInteger => {
            TrapKind::Arithmetic
        }
        EngineTrap::StackOverflow => TrapKind::StackOverflow,
        _ => TrapKind::Other,
    }
}

fn frames(backtrace: &WasmBacktrace) -> Vec<Frame> {
    let frame = |frame: &wasmtime::FrameInfo| Frame {
        function: frame.func_name().map(function_name),
        index: frame.func_index(),
        offset: frame.module_offset().map(|offset| offset as u64),
    };
    backtrace.frames().iter().map(frame).collect()
}

/// A function's name as people know it, cut at [`MAX_NAME`].
fn function_name(name: &str) -> String {
    // Demangling makes names shorter or some times longer, never a hostile amount of a cut one.
    let mangled = name.get(..name.floor_char_boundary(4 * MAX_NAME)).unwrap_or_default();
    let mut name = format!("{:#}", rustc_demangle::demangle(mangled));
    name.truncate(name.floor_char_boundary(MAX_NAME));
    name
}

/// The sentence of AssemblyScript's `abort`. Whatever cannot be read is left out: the guest is ending anyway.
pub(super) fn abort_message(memory: &[u8], message: u32, file: u32, line: u32, column: u32) -> String {
    let text = utf16_at(memory, message).unwrap_or_else(|| "(no message)".to_owned());
    let file = utf16_at(memory, file).unwrap_or_else(|| "(no file)".to_owned());
    format!("abort: {text} at {file}:{line}:{column}")
}

/// A string of AssemblyScript: UTF-16LE, its length in bytes in the u32 before the pointer.
fn utf16_at(memory: &[u8], ptr: u32) -> Option<String> {
    let start = usize::try_from(ptr).ok()?;
    let length = memory.get(start.checked_sub(4)?..start)?.try_into().ok().map(u32::from_le_bytes)?;
    let bytes = memory.get(start..)?.get(..usize::try_from(length).ok()?)?;
    let units = bytes.chunks_exact(2).take(MAX_ABORT_TEXT).filter_map(|pair| pair.try_into().ok());
    Some(char::decode_utf16(units.map(u16::from_le_bytes)).map(|unit| unit.unwrap_or('\u{fffd}')).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_abort_with_wild_pointers_still_has_a_message() {
        for ptr in [0, 3, 4, 100, u32::MAX] {
            assert_eq!(abort_message(&[0xff; 16], ptr, ptr, 1, 2), "abort: (no message) at (no file):1:2");
        }
    }
}
