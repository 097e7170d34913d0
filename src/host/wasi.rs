//! What WASI grants a guest: nothing, unless it is listed here.

/// Arguments, environment and directories of a WASI guest. The default grants nothing.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct WasiParams {
    /// Arguments, the program's name first.
    pub argv: Vec<String>,
    /// Guest path and directory of the host.
    pub map_dirs: Vec<(String, String)>,
    /// Names and values of environment variables.
    pub env_vars: Vec<(String, String)>,
    /// Directories that the guest sees under the same path as the host.
    pub preopened_dirs: Vec<String>,
}

impl WasiParams {
    /// Puts the four together, in the order of the original waPC API.
    #[must_use]
    pub fn new(
        argv: Vec<String>,
        map_dirs: Vec<(String, String)>,
        env_vars: Vec<(String, String)>,
        preopened_dirs: Vec<String>,
    ) -> Self {
        Self { argv, map_dirs, env_vars, preopened_dirs }
    }
}
