//! Names that tools give to files which are not finished.

use std::ffi::OsStr;

/// Whether a name is one that tools give to what they are still writing, or put aside.
pub(crate) fn is_temporary(file: &OsStr) -> bool {
    let name = file.as_encoded_bytes();
    name.starts_with(b".") || [&b"~"[..], b".part", b".tmp"].iter().any(|ending| name.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_names_are_known() {
        for name in [".a.wasm", ".a", "a.wasm~", "a.wasm.part", "a.tmp", "a.wasm.tmp"] {
            assert!(is_temporary(OsStr::new(name)), "{name}");
        }
        for name in ["a.wasm", "part", "tmp.wasm", "a.partial", "a~b.wasm"] {
            assert!(!is_temporary(OsStr::new(name)), "{name}");
        }
    }
}
