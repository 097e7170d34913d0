//! Reads one file of a configuration: whole, bounded, and as UTF-8 text, or says why not.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
    string::FromUtf8Error,
};

use super::{
    error::{ConfigError, ConfigErrorKind, ConfigErrors},
    reader::Report,
    size::Size,
};

/// Bytes of a configuration file at most: 100,000 modules fit; a mistaken path to a disk image does not fill the memory.
const LONGEST_FILE: u64 = 16 << 20;

/// Reads a whole file of bounded length; errors name it as the caller did.
pub(super) fn read(named: &Path, path: &Path) -> Result<String, ConfigErrors> {
    let refused = |found: &str| Err(file_error(named, found, None).into());
    let unreadable = |source: io::Error| file_error(named, describe(&source), Some(source));
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if metadata.is_dir() {
        return refused("a directory");
    }
    // A pipe without a writer would hang here for ever.
    if !metadata.is_file() {
        return refused("a device, pipe or socket");
    }
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(LONGEST_FILE + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.len() as u64 > LONGEST_FILE {
        return refused(&format!("more than {}", Size::new(LONGEST_FILE)));
    }
    String::from_utf8(bytes).map_err(|error| not_utf8(named, error).into())
}

fn describe(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::NotFound => "no such file",
        io::ErrorKind::PermissionDenied => "a file that this user may not read",
        _ => "a file that cannot be read",
    }
}

fn file_error(file: &Path, found: &str, source: Option<io::Error>) -> ConfigError {
    ConfigError {
        file: file.to_owned(),
        position: None,
        key_path: String::new(),
        kind: ConfigErrorKind::File,
        found: found.to_owned(),
        expected: format!("a TOML file of at most {}", Size::new(LONGEST_FILE)),
        hint: None,
        source,
    }
}

/// Points at the first byte that is not UTF-8.
fn not_utf8(file: &Path, error: FromUtf8Error) -> ConfigError {
    let valid = error.utf8_error().valid_up_to();
    let byte = error.as_bytes().get(valid).copied().unwrap_or_default();
    let before = String::from_utf8_lossy(error.as_bytes().get(..valid).unwrap_or_default());
    ConfigError {
        position: Some(Report::new(file, &before).position(valid)),
        expected: "UTF-8 text".to_owned(),
        ..file_error(file, &format!("the byte 0x{byte:02x}, which is not UTF-8"), None)
    }
}
