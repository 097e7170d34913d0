//! Modules written section by section, for what no assembler would write.

/// The type of `__guest_call`: two numbers in, one out.
const GUEST_CALL_TYPE: &[u8] = &[1, 0x60, 2, 0x7f, 0x7f, 1, 0x7f];

/// An unsigned number as wasm writes it.
fn leb128(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(value & 0x7f).unwrap();
        value >>= 7;
        bytes.push(if value == 0 { low } else { low | 0x80 });
        if value == 0 {
            return bytes;
        }
    }
}

fn section(id: u8, contents: &[u8]) -> Vec<u8> {
    [&[id], leb128(contents.len()).as_slice(), contents].concat()
}

fn export(name: &[u8], kind: u8) -> Vec<u8> {
    [leb128(name.len()).as_slice(), name, &[kind, 0]].concat()
}

/// A module that has what waPC demands, its `__guest_call` under this name and with this body, locals included.
pub(crate) fn exported_as(name: &[u8], body: &[u8]) -> Vec<u8> {
    with_functions(name, 1, body)
}

/// The same under its right name.
pub(crate) fn with_body(body: &[u8]) -> Vec<u8> {
    exported_as(b"__guest_call", body)
}

/// The same with so many functions that are alike.
pub(crate) fn with_functions(name: &[u8], count: usize, body: &[u8]) -> Vec<u8> {
    let exports = [&[2], export(b"memory", 2).as_slice(), &export(name, 0)].concat();
    let code = [leb128(body.len()).as_slice(), body].concat();
    [
        b"\0asm\x01\0\0\0".as_slice(),
        &section(1, GUEST_CALL_TYPE),
        &section(3, &[leb128(count).as_slice(), &vec![0; count]].concat()),
        &section(5, &[1, 0, 1]),
        &section(7, &exports),
        &section(10, &[leb128(count).as_slice(), &code.repeat(count)].concat()),
    ]
    .concat()
}
