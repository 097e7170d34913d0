//! The names that waPC fixes: imports that a host offers and exports that a guest has.

/// The import module of every function that waPC defines.
pub const HOST_NAMESPACE: &str = "wapc";

/// Import: the guest asks for operation and payload.
pub const GUEST_REQUEST: &str = "__guest_request";
/// Import: the guest sets its response.
pub const GUEST_RESPONSE: &str = "__guest_response";
/// Import: the guest sets its error.
pub const GUEST_ERROR: &str = "__guest_error";
/// Import: the guest calls the host.
pub const HOST_CALL: &str = "__host_call";
/// Import: length of the last host response.
pub const HOST_RESPONSE_LEN: &str = "__host_response_len";
/// Import: the guest asks for the last host response.
pub const HOST_RESPONSE: &str = "__host_response";
/// Import: length of the last host error.
pub const HOST_ERROR_LEN: &str = "__host_error_len";
/// Import: the guest asks for the last host error.
pub const HOST_ERROR: &str = "__host_error";
/// Import: the guest logs a line.
pub const CONSOLE_LOG: &str = "__console_log";

/// Export: takes a guest call.
pub const GUEST_CALL: &str = "__guest_call";
/// Export: linear memory.
pub const MEMORY: &str = "memory";
/// Export: the start function of a command, and of most languages.
pub const START: &str = "_start";
/// Export: the start function of a reactor, as Go and newer TinyGo have it.
pub const INITIALIZE: &str = "_initialize";
/// Export: the start function of waPC's own guest libraries.
pub const WAPC_INIT: &str = "wapc_init";

/// Import module of AssemblyScript's runtime.
pub const ENV_NAMESPACE: &str = "env";
/// Import: AssemblyScript's `abort(message, file, line, column)`.
pub const ABORT: &str = "abort";

/// WASI preview 1 under its final name.
pub const WASI_PREVIEW1: &str = "wasi_snapshot_preview1";
/// WASI preview 0, whose ABI differs from preview 1.
pub const WASI_UNSTABLE: &str = "wasi_unstable";
