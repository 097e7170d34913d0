//! What the daemon says about the code of a module and its swaps.

use serde::{Deserialize, Serialize};

use super::ModuleStatus;

/// One load of a module's code.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct GenerationStatus {
    /// Its number.
    pub generation: u64,
    /// SHA-256 of the code, in hexadecimal.
    pub sha256: String,
    /// Bytes of the code.
    pub size: u64,
    /// Where the code came from.
    pub origin: GenerationOrigin,
    /// When it took over, or failed to, in seconds since the Unix epoch.
    pub at: f64,
    /// What became of it.
    pub outcome: GenerationOutcome,
    /// Why, where it did not last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Where a generation's code came from.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(rename_all = "snake_case")]
pub enum GenerationOrigin {
    /// The file, when the module started.
    Start,
    /// The file, which had changed.
    File,
    /// An operator's swap.
    Operator,
    /// The code that ran before, because what followed it failed or an operator asked.
    RollBack,
}

impl GenerationOrigin {
    /// Every origin.
    pub const ALL: [Self; 4] = [Self::Start, Self::File, Self::Operator, Self::RollBack];
    /// Those of swaps.
    pub const OF_SWAPS: [Self; 3] = [Self::File, Self::Operator, Self::RollBack];

    /// The name in JSON, tables, events and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::File => "file",
            Self::Operator => "operator",
            Self::RollBack => "roll_back",
        }
    }
}

/// What became of a generation.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq, Eq, Hash)]
#[serde(rename_all = "snake_case")]
pub enum GenerationOutcome {
    /// It is the module's code.
    Current,
    /// It is the module's code, and watched: if it fails too often, it is rolled back.
    OnProbation,
    /// Another one took over.
    Replaced,
    /// It failed too often in its probation, or an operator did not want it.
    RolledBack,
    /// It never took over.
    Refused,
}

impl GenerationOutcome {
    /// Whether it is the module's code.
    #[must_use]
    pub fn runs(self) -> bool {
        matches!(self, Self::Current | Self::OnProbation)
    }

    /// The name in JSON and tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::OnProbation => "on_probation",
            Self::Replaced => "replaced",
            Self::RolledBack => "rolled_back",
            Self::Refused => "refused",
        }
    }
}

/// How often code of one origin took over, or did not.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, PartialEq, Eq)]
pub struct SwapCounts {
    /// Swaps that were done.
    pub done: u64,
    /// Swaps that kept the old code.
    pub failed: u64,
}

/// Why a swap kept the old code.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct SwapErrorStatus {
    /// When, in seconds since the Unix epoch.
    pub at: f64,
    /// Where the code came from.
    pub origin: GenerationOrigin,
    /// SHA-256 of the code, where it could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The error and its causes, outermost first.
    pub causes: Vec<String>,
}

/// What a swap did.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct SwapReport {
    /// Whether the code was another than that which ran before; nothing happens otherwise.
    pub changed: bool,
    /// The module afterwards.
    pub module: ModuleStatus,
}
