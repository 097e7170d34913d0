//! `[control]`: the Unix socket on which the operator talks to the daemon.

use std::{ops::Range, os::unix::ffi::OsStrExt, path::Path};

use super::drop_in::names;
use crate::config::{
    bounds, defaults,
    error::ConfigErrorKind,
    model::Control,
    reader::{Node, Problem, Report, Section},
};

/// Reads it; a relative socket is meant against the runtime directory.
pub(in crate::config) fn read(section: Option<Section<'_>>, runtime_dir: &Path, report: &Report<'_>) -> Control {
    let mut control = Control {
        socket: runtime_dir.join(defaults::SOCKET),
        socket_mode: defaults::SOCKET_MODE,
        socket_group: None,
        readers: Vec::new(),
        operators: Vec::new(),
    };
    let mut place = None;
    if let Some(section) = section {
        if let Some(node) = section.get("socket") {
            control.socket = node.path_in(runtime_dir).unwrap_or(control.socket);
            place = Some(node.span());
        }
        control.socket_mode = section.or("socket_mode", control.socket_mode, mode);
        control.socket_group = section.or("socket_group", None, |node| Some(Some(group(node)?)));
        control.readers = section.or("readers", Vec::new(), groups);
        control.operators = section.or("operators", Vec::new(), groups);
        section.finish();
    }
    check_length(&control.socket, place, report);
    control
}

/// What a group is named by. Whether it exists is for those who look at the accounts.
const GROUP: &str = "the name or number of a group, in quotes";

fn group(node: &Node<'_>) -> Option<String> {
    match node.text_without_nul(GROUP)? {
        "" => node.bad(ConfigErrorKind::BadValue, GROUP, None),
        name => Some(name.to_owned()),
    }
}

fn groups(node: &Node<'_>) -> Option<Vec<String>> {
    Some(names(node, GROUP)?.into_iter().map(|(name, _)| name.to_owned()).collect())
}

fn check_length(socket: &Path, place: Option<Range<usize>>, report: &Report<'_>) {
    let bytes = socket.as_os_str().as_bytes().len();
    if bytes <= bounds::SOCKET_PATH_BYTES {
        return;
    }
    let problem = Problem {
        kind: ConfigErrorKind::OutOfRange,
        found: format!("a socket path of {bytes} bytes, `{}`", socket.display()),
        expected: format!("at most {} bytes, which is what a socket's address holds", bounds::SOCKET_PATH_BYTES),
        hint: Some("choose a shorter daemon.runtime_dir or control.socket".to_owned()),
    };
    report.add("control.socket", place, problem);
}

/// Permission bits as `chmod` takes them. A number is refused: TOML would read 660 as decimal.
pub(super) fn mode(node: &Node<'_>) -> Option<u32> {
    const EXPECTED: &str = "permission bits as octal digits in quotes from \"0000\" to \"0777\", such as \"0660\"";
    let text = node.text(EXPECTED)?;
    let octal = (3..=4).contains(&text.len()) && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    if !octal {
        return node.bad(ConfigErrorKind::BadValue, EXPECTED, None);
    }
    match u32::from_str_radix(text, 8) {
        Ok(mode) if bounds::SOCKET_MODE.contains(&mode) => Some(mode),
        _ => node.bad(ConfigErrorKind::OutOfRange, EXPECTED, None),
    }
}
